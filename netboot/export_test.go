package netboot

import (
	"context"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

type (
	Link      = link
	Network   = network
	Exchanger = exchanger
)

// UpWith is Up on a network and exchanges of a test, with short times.
func UpWith(ctx context.Context, n Network, open func(l Link, wait time.Duration) (Exchanger, error), conf string, logf func(string, ...any)) (*Lease, error) {
	u := &upper{
		net: n, open: open, conf: conf, log: logf,
		poll: 5 * time.Millisecond, grace: 100 * time.Millisecond, notice: 50 * time.Millisecond,
		tries: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond},
	}
	return u.up(ctx)
}

// NewLease reads an answer.
func NewLease(name string, mac net.HardwareAddr, ack *dhcpv4.DHCPv4) (*Lease, bool) {
	return newLease(name, mac, &nclient4.Lease{ACK: ack, CreationTime: time.Now()})
}

// ResolvConf is the file of name servers.
func ResolvConf(l *Lease) string { return string(resolvConf(l)) }

// AllRoutes are what Configure sets.
func (l *Lease) AllRoutes() []Route { return l.allRoutes() }

// RenewAt makes the lease older, so that its T1 is near.
func (l *Lease) RenewAt(d time.Duration) { l.Renew = d }
