package netboot_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"lifeboat/netboot"
)

// fakeNet has links that come and get their carriers as the test wants.
type fakeNet struct {
	mu         sync.Mutex
	links      []netboot.Link
	up         []string
	configured []string
}

func (f *fakeNet) Wired() ([]netboot.Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.links), nil
}

func (f *fakeNet) SetUp(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = append(f.up, name)
	return nil
}

func (f *fakeNet) Configure(l *netboot.Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.configured = append(f.configured, l.Link+" "+l.Address.String())
	return nil
}

func (f *fakeNet) set(links ...netboot.Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links = links
}

// said collects progress.
type said struct {
	mu    sync.Mutex
	lines []string
	on    func(line string)
}

func (s *said) logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	s.lines = append(s.lines, line)
	if s.on != nil {
		s.on(line)
	}
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(l string) bool { return strings.Contains(l, text) })
}

func eth(n byte, carrier bool) netboot.Link {
	return netboot.Link{Name: fmt.Sprintf("eth%d", n), MAC: net.HardwareAddr{2, 0, 0, 0, 0, n}, Carrier: carrier}
}

// server is a DHCP server at the other end of a pair of sockets: the client's
// own protocol runs against it.
type server struct {
	answer func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier // nil: does not answer
	asked  func(m *dhcpv4.DHCPv4)
}

func (s server) open(l netboot.Link, wait time.Duration) (netboot.Exchanger, error) {
	c := &wire{in: make(chan []byte, 16), done: make(chan struct{}), s: s}
	return nclient4.NewWithConn(c, l.MAC, nclient4.WithTimeout(wait+time.Second), nclient4.WithRetry(1))
}

// wire is the client's socket.
type wire struct {
	net.PacketConn
	in   chan []byte
	done chan struct{}
	once sync.Once
	s    server
}

func (w *wire) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case b := <-w.in:
		return copy(p, b), &net.UDPAddr{}, nil
	case <-w.done:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) WriteTo(p []byte, _ net.Addr) (int, error) {
	m, err := dhcpv4.FromBytes(p)
	if err != nil {
		return 0, err
	}
	if w.s.asked != nil {
		w.s.asked(m)
	}
	mods := w.s.answer(m)
	if mods == nil {
		return len(p), nil
	}
	kind := dhcpv4.MessageTypeOffer
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	r, err := dhcpv4.NewReplyFromRequest(m, append([]dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IP{10, 0, 0, 9}), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 0, 0, 1})), dhcpv4.WithLeaseTime(3600),
	}, mods...)...)
	if err != nil {
		return 0, err
	}
	w.in <- r.ToBytes()
	return len(p), nil
}

func (w *wire) Close() error { w.once.Do(func() { close(w.done) }); return nil }

func always(mods ...dhcpv4.Modifier) server {
	return server{answer: func(*dhcpv4.DHCPv4) []dhcpv4.Modifier { return append([]dhcpv4.Modifier{}, mods...) }}
}

func TestUp(t *testing.T) {
	t.Parallel()
	var asked *dhcpv4.DHCPv4
	s := always(dhcpv4.WithDNS(net.IP{10, 0, 0, 2}), dhcpv4.WithOption(dhcpv4.OptDomainName("lab.example")), dhcpv4.WithOption(dhcpv4.OptBootFileName("http://10.0.0.1/j.toml\x00")))
	s.asked = func(m *dhcpv4.DHCPv4) { asked = m }
	n := &fakeNet{links: []netboot.Link{eth(0, true)}}
	conf := t.TempDir() + "/resolv.conf"
	l, err := netboot.UpWith(t.Context(), n, s.open, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Link != "eth0" || l.Address != netip.MustParsePrefix("10.0.0.9/24") || l.Server != netip.MustParseAddr("10.0.0.1") ||
		l.BootFile != "http://10.0.0.1/j.toml" || l.MAC != "02:00:00:00:00:00" || l.Length != time.Hour || l.Renew != 30*time.Minute {
		t.Errorf("got %+v", l)
	}
	if !slices.Equal(n.up, []string{"eth0"}) || !slices.Equal(n.configured, []string{"eth0 10.0.0.9/24"}) {
		t.Errorf("links up %q, configured %q", n.up, n.configured)
	}
	if got, _ := os.ReadFile(conf); string(got) != "search lab.example\nnameserver 10.0.0.2\n" {
		t.Errorf("name servers: %q", got)
	}
	if asked.ClassIdentifier() != "lifeboat" || !slices.Equal(asked.GetOneOption(dhcpv4.OptionClientIdentifier), []byte{1, 2, 0, 0, 0, 0, 0}) {
		t.Errorf("asked as %q", asked.ClassIdentifier())
	}
	for _, want := range []dhcpv4.OptionCode{dhcpv4.OptionBootfileName, dhcpv4.OptionTFTPServerName, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime} {
		if !asked.IsOptionRequested(want) {
			t.Errorf("option %v is not asked for", want)
		}
	}
}

func TestUpLinks(t *testing.T) {
	t.Parallel()
	plain, withJob := always(), always(dhcpv4.WithOption(dhcpv4.OptBootFileName("http://10.0.0.1/j.toml")))
	silent := server{answer: func(*dhcpv4.DHCPv4) []dhcpv4.Modifier { return nil }}
	for _, c := range []struct {
		name    string
		servers []server
		want    string
	}{
		{"a URL wins over the first", []server{plain, withJob}, "eth1"},
		{"nobody waits for a silent one for long", []server{plain, silent}, "eth0"},
		{"the only one that answers", []server{silent, plain}, "eth1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := &fakeNet{links: []netboot.Link{eth(0, true), eth(1, true)}}
			l, err := netboot.UpWith(t.Context(), n, func(l netboot.Link, wait time.Duration) (netboot.Exchanger, error) {
				return c.servers[l.Name[3]-'0'].open(l, wait)
			}, "", nil)
			if err != nil || l.Link != c.want {
				t.Errorf("got %+v, %v; want %s", l, err, c.want)
			}
			if len(n.configured) != 1 {
				t.Errorf("configured %q", n.configured)
			}
		})
	}
}

func TestUpWaits(t *testing.T) {
	t.Parallel()
	n := &fakeNet{}
	s := &said{}
	step := 0
	s.on = func(line string) { // the world changes as its absence is told
		switch {
		case step == 0 && strings.Contains(line, "no wired network link"):
			step++
			n.set(eth(0, false))
		case step == 1 && strings.Contains(line, "eth0: no carrier"):
			step++
			n.set(eth(0, true))
		}
	}
	deaf := 3
	srv := server{answer: func(*dhcpv4.DHCPv4) []dhcpv4.Modifier {
		if deaf--; deaf > 0 {
			return nil
		}
		return []dhcpv4.Modifier{}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if l, err := netboot.UpWith(ctx, n, srv.open, "", s.logf); err != nil || l.Link != "eth0" || step != 2 {
		t.Errorf("got %+v, %v after %q", l, err, s.lines)
	}
}

func TestUpNoAnswer(t *testing.T) {
	t.Parallel()
	silent := server{answer: func(*dhcpv4.DHCPv4) []dhcpv4.Modifier { return nil }}
	nak := server{answer: func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier {
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			return []dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeNak)}
		}
		return []dhcpv4.Modifier{}
	}}
	none := always(dhcpv4.WithYourIP(net.IPv4zero))
	broken := func(netboot.Link, time.Duration) (netboot.Exchanger, error) {
		return nil, errors.New("no packet sockets")
	}
	for _, c := range []struct {
		name string
		open func(netboot.Link, time.Duration) (netboot.Exchanger, error)
		log  string
	}{
		{"silence", silent.open, "eth0: no DHCP answer in"},
		{"refused", nak.open, "says no"},
		{"no address", none.open, "holds no address"},
		{"no socket", broken, "no packet sockets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &said{}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			l, err := netboot.UpWith(ctx, &fakeNet{links: []netboot.Link{eth(0, true)}}, c.open, "", s.logf)
			if l != nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "eth0: no DHCP answer") {
				t.Errorf("got %+v, %v", l, err)
			}
			if !s.has(c.log) {
				t.Errorf("%q is missing in %q", c.log, s.lines)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var steps []string // of the server; one request at a time
	refused := false
	srv := server{answer: func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier {
		if ip := m.ClientIPAddr; ip != nil && !ip.IsUnspecified() { // a renewal
			steps = append(steps, "refuse "+ip.String())
			refused = true
			return []dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeNak)}
		}
		steps = append(steps, m.MessageType().String())
		if refused { // the network has been renumbered
			return []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IP{10, 0, 0, 77})}
		}
		return []dhcpv4.Modifier{}
	}}
	n := &fakeNet{links: []netboot.Link{eth(0, true)}}
	s := &said{}
	l, err := netboot.UpWith(ctx, n, srv.open, "", s.logf)
	if err != nil {
		t.Fatal(err)
	}
	s.on = func(line string) {
		if strings.Contains(line, "address 10.0.0.77") {
			cancel()
		}
	}
	l.RenewAt(time.Millisecond)
	l.Keep(ctx)
	if want := []string{"eth0 10.0.0.9/24", "eth0 10.0.0.77/24"}; !slices.Equal(n.configured, want) {
		t.Errorf("configured %q, want %q; server: %q; log %q", n.configured, want, steps, s.lines)
	}
	if !s.has("says no") || l.Address != netip.MustParsePrefix("10.0.0.9/24") {
		t.Errorf("log %q, lease %v", s.lines, l.Address)
	}
}

func TestLeaseOfHostileAnswers(t *testing.T) {
	t.Parallel()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	ack := func(mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IP{10, 0, 0, 9})}, mods...)...)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	many := make([]net.IP, 50)
	for i := range many {
		many[i] = net.IP{10, 0, 1, byte(i)}
	}
	l, ok := netboot.NewLease("eth0", mac, ack(dhcpv4.WithDNS(many...), dhcpv4.WithLeaseTime(0), dhcpv4.WithNetmask(net.IPMask{255, 0, 255, 0}),
		dhcpv4.WithOption(dhcpv4.OptDomainName("evil\nnameserver 6.6.6.6")), dhcpv4.WithOption(dhcpv4.OptBootFileName("a b\x1b[2J"))))
	if !ok || len(l.DNS) != 8 || l.Length < 10*time.Second || l.Renew <= 0 || l.Address.Bits() != 8 || l.Domain != "" || l.BootFile != "" {
		t.Errorf("got %+v, %v", l, ok)
	}
	if strings.Contains(netboot.ResolvConf(l), "6.6.6.6") {
		t.Error("a domain name became a name server")
	}
	if l, ok := netboot.NewLease("eth0", mac, ack(dhcpv4.WithYourIP(net.IPv4zero))); ok {
		t.Errorf("without an address: %+v", l)
	}
	// header fields, where the options are not there
	m := ack(dhcpv4.WithServerIP(net.IP{10, 0, 0, 5}))
	m.BootFileName = "http://10.0.0.5/x"
	if l, _ := netboot.NewLease("eth0", mac, m); l.BootFile != "http://10.0.0.5/x" || l.NextServer != "10.0.0.5" {
		t.Errorf("from the header: %+v", l)
	}
	m = ack(dhcpv4.WithOption(dhcpv4.OptTFTPServerName("boot.example")), dhcpv4.WithRouter(net.IP{10, 0, 0, 1}), dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IP{0, 0, 0, 0}, Mask: net.CIDRMask(0, 32)}, Router: net.IP{10, 0, 0, 3}},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(24, 32)}, Router: net.IP{0, 0, 0, 0}})))
	l, _ = netboot.NewLease("eth0", mac, m)
	if l.NextServer != "boot.example" {
		t.Errorf("boot server %q", l.NextServer)
	}
	if r := l.AllRoutes(); len(r) != 2 || r[0].Via.IsValid() || r[1].Via != netip.MustParseAddr("10.0.0.3") {
		t.Errorf("routes %+v: want the one on the link first, and not the router's", r)
	}
}

func FuzzLease(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IP{10, 0, 0, 9}), dhcpv4.WithDNS(net.IP{10, 0, 0, 1}), dhcpv4.WithLeaseTime(60))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := dhcpv4.FromBytes(data)
		if err != nil {
			return
		}
		l, ok := netboot.NewLease("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 1}, m)
		if !ok {
			return
		}
		if !l.Address.IsValid() || l.Renew <= 0 || l.Renew > l.Length || strings.ContainsAny(l.BootFile+l.Domain+l.Host+l.NextServer, "\n\x1b ") {
			t.Errorf("took %+v", l)
		}
		netboot.Places(l, netboot.BoardFacts{})
		l.AllRoutes()
	})
}
