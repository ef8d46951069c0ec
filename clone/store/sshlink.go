package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

const (
	sshPatience  = 30 * time.Second
	sshDialLimit = 10 * time.Second
	sshLogin     = 30 * time.Second        // at least: a slow server has to reckon
	sshKeepAlive = "keepalive@openssh.com" // OpenSSH 9.2, PROTOCOL: any answer will do
)

// An sshLink is one connection to an SFTP server. Whoever waits on it is let go
// when it dies, and it dies when the server is silent for longer than patience.
type sshLink struct {
	conn net.Conn
	ssh  *ssh.Client
	sftp *sftp.Client
	over chan struct{} // closed when the connection has ended
}

// dial connects and logs in.
func (s *SFTP) dial(ctx context.Context) (*sshLink, error) {
	check, kinds, err := hostCheck(s.address, s.hostKey, s.o)
	if err != nil {
		return nil, &refusal{err}
	}
	d := &net.Dialer{Timeout: sshDialLimit, KeepAlive: 15 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.shown, err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	pause := func(on bool) {
		deadline := time.Time{}
		if !on {
			deadline = time.Now().Add(max(s.o.Patience, sshLogin))
		}
		conn.SetDeadline(deadline)
	}
	pause(false)
	l, err := s.login(ctx, conn, pause, &ssh.ClientConfig{User: s.user, HostKeyCallback: check, HostKeyAlgorithms: kinds})
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go l.mind(s.o.Patience)
	return l, nil
}

func (s *SFTP) login(ctx context.Context, conn net.Conn, pause func(bool), config *ssh.ClientConfig) (*sshLink, error) {
	keys := &keyring{o: s.o, identity: s.identity, who: s.user + "@" + s.address, password: s.password}
	defer keys.close()
	config.Auth = keys.methods(ctx, pause)
	c, channels, requests, err := ssh.NewClientConn(conn, s.address, config)
	if err != nil {
		return nil, s.loginError(err, keys)
	}
	s.password = keys.password // the next connection does not ask again
	client := ssh.NewClient(c, channels, requests)
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
	if err != nil {
		client.Close()
		if strings.Contains(err.Error(), "subsystem request failed") {
			return nil, &refusal{fmt.Errorf("%s: the server offers no SFTP", s.shown)}
		}
		return nil, fmt.Errorf("%s: begin SFTP: %w", s.shown, noEOF(err))
	}
	return &sshLink{conn: conn, ssh: client, sftp: files, over: make(chan struct{})}, nil
}

// A loginError is a server that takes none of our keys.
type loginError struct{ text string }

func (e *loginError) Error() string { return e.text }

func (s *SFTP) loginError(err error, keys *keyring) error {
	var host *HostKeyError
	switch {
	case errors.As(err, &host):
		return &refusal{fmt.Errorf("%s: %w", s.shown, host)}
	case strings.Contains(err.Error(), "unable to authenticate"), strings.Contains(err.Error(), "Too many authentication failures"):
		tried := "nothing, for there was nothing to try"
		if len(keys.tried) > 0 {
			tried = strings.Join(keys.tried, ", ")
		}
		return &refusal{&loginError{fmt.Sprintf("%s: the server does not let us in; tried: %s", s.shown, tried)}}
	}
	return fmt.Errorf("%s: log in: %w", s.shown, noEOF(err))
}

// mind ends the connection when the server does not answer any more.
func (l *sshLink) mind(patience time.Duration) {
	defer close(l.over)
	ended := make(chan struct{})
	go func() {
		l.ssh.Wait()
		close(ended)
	}()
	tick := time.NewTicker(patience / 2)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			l.conn.Close()
			return
		case <-tick.C:
			silent := time.AfterFunc(patience/2, func() { l.conn.Close() })
			l.ssh.SendRequest(sshKeepAlive, true, nil) // an error ends the connection by itself
			silent.Stop()
		}
	}
}

func (l *sshLink) dead() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

func (l *sshLink) close() { l.conn.Close() }

// call does f, but waits for it no longer than the context and limit want. A
// server that takes longer is given up, with the connection: what f waits for
// then comes to an end, so f must share no memory with its caller.
func call[T any](ctx context.Context, l *sshLink, limit time.Duration, f func(*sftp.Client) (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f(l.sftp)
		done <- answer{v, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var none T
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	case <-timer.C:
		l.close()
		return none, errStalled
	}
}

// do is call for what has no result.
func do(ctx context.Context, l *sshLink, limit time.Duration, f func(*sftp.Client) error) error {
	_, err := call(ctx, l, limit, func(c *sftp.Client) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// lost tells whether an error comes from a connection that ended: then another
// one may do.
func (l *sshLink) lost(err error) bool {
	var status *sftp.StatusError
	if err == nil || errors.As(err, &status) && status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection {
		return false
	}
	var op net.Error
	return errors.Is(err, errStalled) || errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.As(err, &op) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || l.dead()
}
