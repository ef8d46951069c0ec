package netboot

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// A Clock sets the time of a board that has no battery for its clock: without a
// time no certificate of a server is valid.
type Clock struct {
	Built  time.Time             // of this program: never set to a time before it
	Set    func(time.Time) error // nil sets the machine's clock
	Now    func() time.Time      // nil is time.Now
	Client *http.Client          // nil is Client()
}

const minStep = 2 * time.Second // what is closer is left alone

// SetFrom sets the clock from the date that an HTTP server sends, and returns by
// how much it moved; zero where it was right. Anybody in the network can send a
// date: only certificates are judged by it.
func (c Clock) SetFrom(ctx context.Context, url string) (time.Duration, error) {
	client, now, set := c.Client, c.Now, c.Set
	if client == nil {
		client = Client()
	}
	if now == nil {
		now = time.Now
	}
	if set == nil {
		set = setTime
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return 0, fmt.Errorf("time from %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("time: %w", err)
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, fmt.Errorf("time from %s: its header Date %q: %w", url, shorten(resp.Header.Get("Date")), err)
	}
	if date.Before(c.Built) {
		return 0, fmt.Errorf("time from %s: %s lies before %s, when this program was built", url, date.UTC().Format(time.RFC3339), c.Built.UTC().Format(time.RFC3339))
	}
	step := date.Sub(now())
	if step.Abs() < minStep {
		return 0, nil
	}
	if err := set(date); err != nil {
		return 0, fmt.Errorf("set the clock to %s: %w", date.UTC().Format(time.RFC3339), err)
	}
	return step, nil
}
