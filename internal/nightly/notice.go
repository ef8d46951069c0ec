package nightly

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// A Message is what somebody is told.
type Message struct {
	Title string
	Text  string
	Bad   bool
	Log   []byte // of the run; nil is not sent along
	Facts Facts  // for programs
}

// A Sender is a channel.
type Sender interface {
	// Name is for people: "mail", "ntfy".
	Name() string
	Send(ctx context.Context, m Message) error
}

// A Crier tells people by all channels that are configured.
type Crier struct {
	// config
	senders []Sender
	vault   *Vault
	on      string
	log     bool
	logf    func(format string, args ...any)
}

// sendTimeout bounds one channel.
const sendTimeout = time.Minute

// NewCrier makes the channels of n. Their secrets are read here, so that a file
// that is missing is known before a backup is made. Behind an error the crier has
// the channels that can be used, to tell it.
func NewCrier(n Notify, client *http.Client, v *Vault, host string, logf func(format string, args ...any)) (*Crier, error) {
	c := &Crier{vault: v, on: n.On, log: n.Log, logf: logf}
	web := web{client, v}
	var errs []error
	add := func(wanted bool, open func() (Sender, error)) {
		if !wanted {
			return
		}
		s, err := open()
		if err != nil {
			errs = append(errs, err)
			return
		}
		c.senders = append(c.senders, s)
	}
	add(len(n.Mail.To) > 0, func() (Sender, error) { return newMail(n.Mail, v, host) })
	add(n.Ntfy.URL != "", func() (Sender, error) { return newNtfy(n.Ntfy, web) })
	add(n.Telegram.TokenFile != "", func() (Sender, error) { return newTelegram(n.Telegram, web) })
	add(n.Pushover.TokenFile != "", func() (Sender, error) { return newPushover(n.Pushover, web) })
	add(n.Slack.URLFile != "", func() (Sender, error) { return newSlack(n.Slack, web) })
	add(n.Webhook.URL != "", func() (Sender, error) { return newWebhook(n.Webhook, web) })
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("notices: %w", err)
	}
	return c, nil
}

// Names are those of the channels.
func (c *Crier) Names() []string {
	var names []string
	for _, s := range c.senders {
		names = append(names, s.Name())
	}
	return names
}

// Wants tells whether an event of this kind is told.
func (c *Crier) Wants(k Kind) bool {
	switch k {
	case Started:
		return c.on == "start"
	case Done:
		return c.on != "errors"
	}
	return true
}

// Tell sends a message by all channels, one after the other; one that fails
// stops no other. The error says which did, and no secret.
func (c *Crier) Tell(ctx context.Context, m Message) error {
	if !c.log {
		m.Log = nil
	}
	m.Title, m.Text, m.Log = c.vault.Clean(m.Title), c.vault.Clean(m.Text), []byte(c.vault.Clean(string(m.Log)))
	if len(m.Log) == 0 {
		m.Log = nil
	}
	var errs []error
	for _, s := range c.senders {
		err := c.send(ctx, s, m)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.logf("told by %s: %s", s.Name(), m.Title)
	}
	return errors.Join(errs...)
}

func (c *Crier) send(ctx context.Context, s Sender, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.Send(ctx, m); err != nil {
		return c.vault.CleanError(fmt.Errorf("notice by %s: %w", s.Name(), err))
	}
	return nil
}

// Each sends a message by each channel and yields what came of it.
func (c *Crier) Each(ctx context.Context, m Message, yield func(name string, err error)) {
	for _, s := range c.senders {
		yield(s.Name(), c.send(ctx, s, m))
	}
}

// tail is the end of a log, of at most n bytes, from the beginning of a line.
func tail(log []byte, n int) string {
	if len(log) <= n {
		return string(log)
	}
	log = log[len(log)-n:]
	for i, b := range log {
		if b == '\n' {
			return string(log[i+1:])
		}
	}
	return ""
}

// cut shortens a text to n bytes, at the end of a rune.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n -= len("…")
	for n > 0 && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}
