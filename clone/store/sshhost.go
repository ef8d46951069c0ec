package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// A HostKeyError is a server that did not prove to be the one that is meant.
type HostKeyError struct {
	Host        string // with its port
	Type        string // of the key that it showed, as ssh-ed25519
	Fingerprint string // of that key, as ssh-keygen -l prints it
	Want        string // what was expected instead; "" = nothing is known of the host
}

func (e *HostKeyError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("the SSH server %s is not known: it shows the key %s %s", e.Host, e.Type, e.Fingerprint)
	}
	return fmt.Sprintf("the SSH server %s shows the key %s %s, but %s: it was set up anew, or somebody stands in between",
		e.Host, e.Type, e.Fingerprint, e.Want)
}

// Hint says how the key is accepted.
func (e *HostKeyError) Hint() string {
	if e.Want == "" {
		return "compare it with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there; then add ?hostkey=" + e.Fingerprint +
			" to the place, or connect once with ssh, which writes it to known_hosts"
	}
	return "if the server was set up anew on purpose, take its old key out of there"
}

// hostKeys are the kinds of keys that a server may show, in OpenSSH's order.
// Host certificates are not among them.
func hostKeys() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

// hostCheck is the judge of host keys, and which kinds the server is asked for:
// those that are known of it, or it would show one that nobody can judge.
func hostCheck(address, pin string, o SSHOptions) (ssh.HostKeyCallback, []string, error) {
	if pin != "" {
		return func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if got := ssh.FingerprintSHA256(key); got != pin {
				return &refusal{&HostKeyError{address, key.Type(), got, pin + " is the one that the place names"}}
			}
			return nil
		}, hostKeys(), nil
	}
	var files []string
	for _, f := range o.KnownHosts {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, nil, fmt.Errorf("read the known hosts: %w", err)
	}
	check := func(host string, remote net.Addr, key ssh.PublicKey) error {
		return hostError(address, key, known(host, remote, key))
	}
	return check, kindsOf(known, address), nil
}

// kindsOf asks which keys of a server are known, by showing a key that nobody has.
func kindsOf(known ssh.HostKeyCallback, address string) []string {
	var wrong *knownhosts.KeyError
	if !errors.As(known(address, &net.TCPAddr{}, noKey{}), &wrong) || len(wrong.Want) == 0 {
		return hostKeys()
	}
	var kinds []string
	for _, kind := range hostKeys() {
		for _, k := range wrong.Want {
			if k.Key.Type() == kind || k.Key.Type() == ssh.KeyAlgoRSA && strings.HasPrefix(kind, "rsa-") {
				kinds = append(kinds, kind)
				break
			}
		}
	}
	return kinds
}

// noKey is a key that no server has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.ErrUnsupported }

func hostError(address string, key ssh.PublicKey, err error) error {
	if err == nil {
		return nil
	}
	e := &HostKeyError{Host: address, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	var wrong *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		e.Want = fmt.Sprintf("line %d of %s revokes it", revoked.Revoked.Line, revoked.Revoked.Filename)
	case !errors.As(err, &wrong):
		return &refusal{fmt.Errorf("the SSH server %s: %w", address, err)}
	case len(wrong.Want) > 0:
		w := wrong.Want[0]
		e.Want = fmt.Sprintf("line %d of %s has another one", w.Line, w.Filename)
	}
	return &refusal{e}
}
