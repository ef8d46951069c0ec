package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// SSHOptions say who we are for an SSH server, and how it proves itself. With
// the zero value no server is known and no key is ours: HostOptions has those of
// a person's machine.
type SSHOptions struct {
	User       string   // where the place names none
	Agent      string   // socket of the agent; "" = none
	Identities []string // files of private keys; those that are not there do not count
	KnownHosts []string // files as OpenSSH has them; those that are not there do not count
	// Password is asked for the password of an account, and for the passphrase of
	// a key; nil = nobody can say. It is kept in memory as long as the store.
	Password func(ctx context.Context, question string) (string, error)
	Patience time.Duration // how long a server may be silent; 0 = 30 s
}

// A keyring finds keys and passwords, and remembers what was tried.
type keyring struct {
	// config
	o        SSHOptions
	identity string // the only one, where a place names it
	who      string // user@host, for questions
	password string // of the place; "" = asked for

	// state
	tried []string
	agent net.Conn
}

// methods are the ways to log in, in the order in which they are tried. pause is
// called around a question, which a person may take time to answer.
func (k *keyring) methods(ctx context.Context, pause func(bool)) []ssh.AuthMethod {
	ask := func(question string) (string, error) {
		if k.o.Password == nil {
			return "", errors.New("nobody is there to say it")
		}
		pause(true)
		defer pause(false)
		return k.o.Password(ctx, question)
	}
	methods := []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) { return k.signers(ctx, ask), nil })}
	if k.password == "" && k.o.Password == nil {
		return methods
	}
	password := func() (string, error) {
		k.tried = append(k.tried, "a password")
		if k.password != "" {
			return k.password, nil
		}
		p, err := ask("Password of " + k.who)
		if err == nil {
			k.password = p
		}
		return p, err
	}
	return append(methods, ssh.PasswordCallback(password), ssh.KeyboardInteractive(
		func(_, _ string, questions []string, echos []bool) ([]string, error) {
			if len(questions) == 0 {
				return nil, nil
			}
			if len(questions) > 1 || echos[0] {
				return nil, fmt.Errorf("the server asks %q, which only a person can answer", questions)
			}
			p, err := password()
			return []string{p}, err
		}))
}

// signers are those of the agent, then the files'.
func (k *keyring) signers(ctx context.Context, ask func(string) (string, error)) []ssh.Signer {
	var signers []ssh.Signer
	files := k.o.Identities
	if k.identity != "" {
		files = []string{k.identity}
	} else {
		signers = k.agentSigners(ctx)
	}
	for _, file := range files {
		s, err := k.signer(file, ask)
		switch {
		case err == nil:
			signers = append(signers, s)
			k.tried = append(k.tried, file)
		case k.identity != "" || !errors.Is(err, fs.ErrNotExist):
			k.tried = append(k.tried, fmt.Sprintf("%s (%v)", file, err))
		}
	}
	return signers
}

func (k *keyring) agentSigners(ctx context.Context) []ssh.Signer {
	if k.o.Agent == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", k.o.Agent)
	if err != nil {
		return nil // a socket that is left of an agent that has gone
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	k.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.tried = append(k.tried, fmt.Sprintf("the agent (%v)", err))
		return nil
	}
	k.tried = append(k.tried, fmt.Sprintf("the agent with %d keys", len(signers)))
	return signers
}

func (k *keyring) signer(file string, ask func(string) (string, error)) (ssh.Signer, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, err
	}
	s, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return s, err
	}
	phrase, err := ask("Passphrase of " + file)
	if err != nil {
		return nil, fmt.Errorf("its passphrase is not known: %w", err)
	}
	return ssh.ParsePrivateKeyWithPassphrase(pem, []byte(phrase))
}

// close ends the talk with the agent.
func (k *keyring) close() {
	if k.agent != nil {
		k.agent.Close()
	}
}

// hostSSH is what OpenSSH's client would use of a person's home.
func hostSSH(getenv func(string) string) SSHOptions {
	o := SSHOptions{User: getenv("USER"), Agent: getenv("SSH_AUTH_SOCK"), KnownHosts: []string{"/etc/ssh/ssh_known_hosts"}}
	if home := getenv("HOME"); home != "" {
		dir := filepath.Join(home, ".ssh")
		o.KnownHosts = append(o.KnownHosts, filepath.Join(dir, "known_hosts"))
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			o.Identities = append(o.Identities, filepath.Join(dir, name))
		}
	}
	if file := getenv("LIFEBOAT_SSH_IDENTITY"); file != "" {
		o.Agent, o.Identities = "", []string{file}
	}
	if file := getenv("LIFEBOAT_SSH_KNOWN_HOSTS"); file != "" {
		o.KnownHosts = []string{file}
	}
	if file := getenv("LIFEBOAT_SSH_PASSWORD_FILE"); file != "" {
		o.Password = func(context.Context, string) (string, error) { return firstLine(file) }
	}
	return o
}

// firstLine is a secret that stands alone in a file.
func firstLine(file string) (string, error) {
	b, err := os.ReadFile(file)
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), err
}
