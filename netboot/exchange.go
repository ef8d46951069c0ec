package netboot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// exchanger speaks DHCP on one link.
type exchanger interface {
	Request(ctx context.Context, mods ...dhcpv4.Modifier) (*nclient4.Lease, error)
	Renew(ctx context.Context, l *nclient4.Lease, mods ...dhcpv4.Modifier) (*nclient4.Lease, error)
	Close() error
}

var _ exchanger = (*nclient4.Client)(nil)

// opener makes an exchanger that waits so long for an answer.
type opener func(l link, wait time.Duration) (exchanger, error)

// openClient opens a raw socket on the link. A client is made for each try:
// nclient4 stops reading for good when its link goes down once. Its own time
// limit lies behind the context's, or a late answer would count as none.
func openClient(l link, wait time.Duration) (exchanger, error) {
	c, err := nclient4.New(l.Name, nclient4.WithHWAddr(l.MAC), nclient4.WithTimeout(wait+time.Second), nclient4.WithRetry(1))
	if err != nil {
		return nil, fmt.Errorf("socket for DHCP: %w", err)
	}
	return c, nil
}

// vendorClass is what a server's rules can know a rescue system by.
const vendorClass = "lifeboat"

const optClasslessRoutes = 121 // RFC 3442; asked for before the router, as it says

// requestMods fill what goes out: who asks, and for what.
func requestMods(l link) []dhcpv4.Modifier {
	id := append([]byte{1}, l.MAC...) // RFC 2132, 9.14: hardware type Ethernet, address
	return []dhcpv4.Modifier{
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier(vendorClass)),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id)),
		dhcpv4.WithRequestedOptions(
			dhcpv4.GenericOptionCode(optClasslessRoutes),
			dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
			dhcpv4.OptionDomainName, dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime,
			dhcpv4.OptionServerIdentifier, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue,
			dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName,
		),
	}
}

// ask asks on one link until there is a lease, which it sends, or ctx ends.
func (u *upper) ask(ctx context.Context, l link, leases chan<- *Lease) {
	last := ""
	for try := 0; ctx.Err() == nil; try++ {
		wait := u.tries[min(try, len(u.tries)-1)]
		pause := time.NewTimer(wait)
		lease, err := u.try(ctx, l, wait)
		if err == nil {
			pause.Stop()
			select {
			case leases <- lease:
			case <-ctx.Done():
			}
			return
		}
		if text := err.Error(); !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && text != last {
			u.log.logf("%s: %s", l.Name, text)
			last = text
		}
		select { // an error may come at once
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

func (u *upper) try(ctx context.Context, l link, wait time.Duration) (*Lease, error) {
	x, err := u.open(l, wait)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	raw, err := x.Request(ctx, requestMods(l)...)
	if err != nil {
		return nil, refusal(err)
	}
	lease, ok := newLease(l.Name, l.MAC, raw)
	if !ok {
		return nil, errors.New("the DHCP server's answer holds no address")
	}
	lease.link = l
	return lease, nil
}

// errRefused says that the server takes its word back.
var errRefused = errors.New("refused")

// refusal turns the client's error into a sentence.
func refusal(err error) error {
	var nak *nclient4.ErrNak
	if errors.As(err, &nak) {
		return fmt.Errorf("the DHCP server %s says no, %q: %w", nak.Nak.ServerIdentifier(), oneLine(nak.Nak.Message()), errRefused)
	}
	return fmt.Errorf("ask for an address: %w", err)
}
