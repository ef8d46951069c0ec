package netboot

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"lifeboat/internal/atomicfile"
)

// Options of Up.
type Options struct {
	// ResolvConf is the file that the name servers are written to, usually
	// /etc/resolv.conf; "" writes none.
	ResolvConf string
	// Sys is /sys; nil takes the machine's.
	Sys fs.FS
	// Logf tells progress; nil tells nobody.
	Logf func(format string, args ...any)
}

// Up brings up every wired link that has a carrier or gets one, asks on each
// for an address until ctx ends, and configures the first link whose lease names
// a job or an image by URL, else the first that got a lease. Links may appear
// late, as those on USB do. The address is not renewed: Keep does that.
//
// An error means that ctx ended, and says what was missing.
func Up(ctx context.Context, o Options) (*Lease, error) {
	if o.Sys == nil {
		o.Sys = os.DirFS("/sys")
	}
	u := &upper{
		net: kernel{o.Sys}, open: openClient, conf: o.ResolvConf, log: o.Logf,
		poll: 200 * time.Millisecond, grace: 3 * time.Second, notice: 20 * time.Second,
		tries: []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second},
	}
	return u.up(ctx)
}

// A link is a wired network interface.
type link struct {
	Name    string
	MAC     net.HardwareAddr
	Carrier bool // up, and something is at the other end
}

// network is the kernel's side of links.
type network interface {
	Wired() ([]link, error) // in the order of their names
	SetUp(name string) error
	Configure(l *Lease) error
}

// An upper is one run of Up.
type upper struct {
	// config
	net    network
	open   opener
	conf   string // path of resolv.conf, or ""
	log    logger
	poll   time.Duration   // between looks at the links
	grace  time.Duration   // that a lease waits for a better one on another link
	notice time.Duration   // until the first word about what is missing, then thrice that
	tries  []time.Duration // how long an answer is waited for; the last is repeated
}

// wires is what up knows of the links while it runs.
type wires struct {
	carrier map[string]bool // every wired link seen
	asking  map[string]bool
	got     *Lease // the best so far
}

func (u *upper) up(ctx context.Context) (*Lease, error) {
	asking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()

	w := &wires{carrier: map[string]bool{}, asking: map[string]bool{}}
	leases := make(chan *Lease)
	tick, notice, began := time.NewTicker(u.poll), time.NewTimer(u.notice), time.Now()
	defer tick.Stop()
	defer notice.Stop()
	var graceOver <-chan time.Time
	for {
		for _, l := range u.look(w) {
			wg.Go(func() { u.ask(asking, l, leases) })
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no address from the network: %s: %w", strings.Join(w.missing(time.Since(began)), "; "), context.Cause(ctx))
		case <-tick.C:
		case <-notice.C:
			for _, m := range w.missing(time.Since(began)) {
				u.log.logf("%s", m)
			}
			notice.Reset(3 * u.notice)
		case l := <-leases:
			delete(w.asking, l.Link)
			w.got = cmp.Or(w.got, l)
			if l.bootURL() != "" || len(w.asking) == 0 {
				return u.take(better(w.got, l))
			}
			if graceOver == nil {
				graceOver = time.After(u.grace)
			}
		case <-graceOver:
			return u.take(w.got)
		}
	}
}

func better(a, b *Lease) *Lease {
	if b.bootURL() != "" {
		return b
	}
	return a
}

// look brings up what is new, and returns the links that nobody asks on yet.
func (u *upper) look(w *wires) []link {
	links, err := u.net.Wired()
	if err != nil {
		u.log.logf("list of network links: %v", err)
		return nil
	}
	var ready []link
	for _, l := range links {
		had, seen := w.carrier[l.Name]
		if !seen {
			u.log.logf("%s: wired link, %s", l.Name, l.MAC)
			if err := u.net.SetUp(l.Name); err != nil {
				u.log.logf("%s: %v", l.Name, err)
			}
		}
		if had = had || l.Carrier; had && !w.asking[l.Name] && (w.got == nil || w.got.Link != l.Name) {
			w.asking[l.Name] = true
			ready = append(ready, l)
		}
		w.carrier[l.Name] = had
	}
	return ready
}

// missing says of each link why there is no lease yet.
func (w *wires) missing(d time.Duration) []string {
	if len(w.carrier) == 0 {
		return []string{fmt.Sprintf("no wired network link in %v: is the adapter known to this kernel?", d.Round(time.Second))}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.carrier)) {
		if w.carrier[name] {
			out = append(out, fmt.Sprintf("%s: no DHCP answer in %v: is the cable in, is there a server?", name, d.Round(time.Second)))
		} else {
			out = append(out, fmt.Sprintf("%s: no carrier in %v: no cable, or nothing at its other end", name, d.Round(time.Second)))
		}
	}
	return out
}

// take makes the lease the machine's configuration.
func (u *upper) take(l *Lease) (*Lease, error) {
	l.up = u
	if err := u.net.Configure(l); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Link, err)
	}
	if u.conf != "" {
		if err := atomicfile.Write(u.conf, resolvConf(l), 0o644); err != nil {
			return nil, fmt.Errorf("name servers: %w", err)
		}
	}
	u.log.logf("%s: address %s from %s, boot server %s, boot file %s", l.Link, l.Address, l.Server,
		cmp.Or(l.NextServer, "none"), cmp.Or(l.BootFile, "none"))
	return l, nil
}

func resolvConf(l *Lease) []byte {
	var b strings.Builder
	if l.Domain != "" {
		fmt.Fprintf(&b, "search %s\n", l.Domain)
	}
	for _, a := range l.DNS {
		fmt.Fprintf(&b, "nameserver %s\n", a)
	}
	return []byte(b.String())
}

// bootURL is the boot file where it is something that HTTP fetches.
func (l *Lease) bootURL() string {
	if strings.HasPrefix(l.BootFile, "http://") || strings.HasPrefix(l.BootFile, "https://") {
		return l.BootFile
	}
	return ""
}
