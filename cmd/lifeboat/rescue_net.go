package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"lifeboat/netboot"
)

// dhcpLimit is how long a DHCP server may take: switches that look for loops
// hold a new link back for half a minute.
const dhcpLimit = 60 * time.Second

// A network is the rescue system's link to the world: brought up when it is
// needed for the first time.
type network struct {
	lease   *netboot.Lease
	stop    context.CancelFunc // ends the keeping of the lease
	keeping sync.WaitGroup
}

// close gives the lease up.
func (n *network) close() {
	if n.stop != nil {
		n.stop()
		n.keeping.Wait()
	}
}

// up is the lease, asked for now if there is none.
func (n *network) up(ctx context.Context, r *rescuer) (*netboot.Lease, error) {
	if n.lease != nil {
		return n.lease, nil
	}
	limited, cancel := context.WithTimeout(ctx, dhcpLimit)
	defer cancel()
	lease, err := netboot.Up(limited, netboot.Options{ResolvConf: "/etc/resolv.conf", Logf: r.sayf})
	if err != nil {
		return nil, err
	}
	r.sayf("%s has the address %s from %s", lease.Link, lease.Address, lease.Server)
	keep, stop := context.WithCancel(context.WithoutCancel(ctx)) // longer than the search for a job
	n.lease, n.stop = lease, stop
	n.keeping.Go(func() { lease.Keep(keep) })
	return lease, nil
}

// setClock takes the time of the boot server: a certificate cannot be judged
// without one.
func (r *rescuer) setClock(ctx context.Context, l *netboot.Lease) {
	built, err := time.Parse(time.RFC3339, r.info.Date)
	if err != nil {
		r.sayf("the date of the build: %v", err)
	}
	server := l.NextServer
	if server == "" {
		server = l.Server.String()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	moved, err := netboot.Clock{Built: built}.SetFrom(ctx, fmt.Sprintf("http://%s/", server))
	switch {
	case err != nil:
		r.sayf("the clock stays as it is: %v", err)
	case moved != 0:
		r.sayf("the clock was set by %s", moved.Round(time.Second))
	}
}
