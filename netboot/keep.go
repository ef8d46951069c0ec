package netboot

import (
	"context"
	"errors"
	"time"
)

// Keep holds the lease until ctx ends: it renews it at T1, tries again where
// that is not answered, and asks anew when it has run out or was refused. A new
// address is configured in place of the old one, which breaks open connections.
// It blocks; the caller runs it in a goroutine and waits for it. l itself does
// not change.
func (l *Lease) Keep(ctx context.Context) {
	u, cur := l.up, l
	for ctx.Err() == nil {
		if !sleep(ctx, time.Until(cur.Begin.Add(cur.Renew))) {
			return
		}
		next := u.renew(ctx, cur)
		if next == nil && ctx.Err() == nil {
			u.log.logf("%s: the address %s was not renewed in its time, asking for a new one", cur.Link, cur.Address)
			next = u.again(ctx, cur)
		}
		if next == nil {
			return
		}
		if next.Address != cur.Address {
			if _, err := u.take(next); err != nil {
				u.log.logf("new address: %v", err)
			}
		}
		cur = next
	}
}

// renew asks the server for more time until the lease ends; nil where that is
// over. The time between two tries is half of what is left, RFC 2131, 4.4.5,
// within bounds.
func (u *upper) renew(ctx context.Context, l *Lease) *Lease {
	end := l.Begin.Add(l.Length)
	for time.Until(end) > 0 && ctx.Err() == nil {
		next, err := u.renewOnce(ctx, l)
		if err == nil {
			return next
		}
		u.log.logf("%s: renewal of %s: %v", l.Link, l.Address, err)
		if errors.Is(err, errRefused) {
			return nil
		}
		if !sleep(ctx, min(max(time.Until(end)/2, u.poll), time.Minute)) {
			return nil
		}
	}
	return nil
}

func (u *upper) renewOnce(ctx context.Context, l *Lease) (*Lease, error) {
	wait := u.tries[len(u.tries)-1]
	x, err := u.open(l.link, wait)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	raw, err := x.Renew(ctx, l.raw, requestMods(l.link)...)
	if err != nil {
		return nil, refusal(err)
	}
	next, ok := newLease(l.Link, l.link.MAC, raw)
	if !ok {
		return nil, errors.New("the DHCP server's answer holds no address")
	}
	next.Begin = time.Now() // nclient4 leaves the first lease's time
	next.link, next.up = l.link, u
	return next, nil
}

// again asks on the lease's link as Up did.
func (u *upper) again(ctx context.Context, l *Lease) *Lease {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	leases := make(chan *Lease, 1)
	u.ask(ctx, l.link, leases)
	select {
	case next := <-leases:
		next.up = u
		return next
	default:
		return nil
	}
}

// sleep waits, and tells whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
