package store_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// statCard asks a server for a file, which only who is let in can.
func statCard(t *testing.T, place string, o store.SSHOptions) error {
	t.Helper()
	s, name, err := store.Open(place, store.Options{SSH: o})
	if err != nil {
		return err
	}
	defer store.Close(s)
	_, err = store.Stat(t.Context(), s, name)
	return err
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSFTPHostKeys(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	place := "sftp://" + s.User + "@" + s.Addr + folder(t, map[string]string{"card.img": "x"}) + "/card.img"
	dir := t.TempDir()
	nobody, other, revoked := filepath.Join(dir, "none"), filepath.Join(dir, "other"), filepath.Join(dir, "revoked")
	line := readFile(t, s.KnownHosts)
	writeFile(t, other, strings.Fields(line)[0]+" "+readFile(t, s.Key+".pub"))
	writeFile(t, revoked, "@revoked "+line)
	o := sshOptions(s)
	for known, want := range map[string]string{
		s.KnownHosts: "", nobody: "is not known: it shows the key ssh-ed25519 " + s.HostKey,
		other: "line 1 of " + other + " has another one", revoked: "revokes it",
	} {
		o.KnownHosts = []string{known}
		err := statCard(t, place, o)
		var no *store.HostKeyError
		switch {
		case want == "" && err != nil:
			t.Errorf("known: got %v", err)
		case want != "" && (!errors.As(err, &no) || !strings.Contains(err.Error(), want) || no.Hint() == ""):
			t.Errorf("got %v, want %q", err, want)
		}
	}
	o.KnownHosts = nil
	if err := statCard(t, place+"?hostkey="+s.HostKey, o); err != nil {
		t.Errorf("named by the place: got %v", err)
	}
	if err := statCard(t, place+"?hostkey=SHA256:AAAA", o); err == nil || !strings.Contains(err.Error(), "the one that the place names") {
		t.Errorf("another one named: got %v", err)
	}
}

// TestSFTPAsksForTheKindOfKeyThatIsKnown: a server with keys of several kinds,
// of which only the last in our order is known.
func TestSFTPAsksForTheKindOfKeyThatIsKnown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rsa")
	fixture.Need(t, "ssh-keygen")
	fixture.Run(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", file)
	s := fixture.SSHD(t, "HostKey "+file)
	host, port, _ := net.SplitHostPort(s.Addr)
	writeFile(t, s.KnownHosts, "["+host+"]:"+port+" "+readFile(t, file+".pub"))
	place := "sftp://" + s.User + "@" + s.Addr + folder(t, map[string]string{"card.img": "x"}) + "/card.img"
	if err := statCard(t, place, sshOptions(s)); err != nil {
		t.Error(err)
	}
}

func TestSFTPKeys(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	fixture.Need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	dir := t.TempDir()
	place := "sftp://" + s.User + "@" + s.Addr + folder(t, map[string]string{"card.img": "x"}) + "/card.img"

	o := sshOptions(s)
	o.Identities = []string{filepath.Join(dir, "none")}
	err := statCard(t, place, o)
	wantIs(t, err, fs.ErrPermission)
	if err == nil || !strings.Contains(err.Error(), "does not let us in; tried: nothing") {
		t.Errorf("without a key: got %v", err)
	}
	if err := statCard(t, place+"?identity="+url.QueryEscape(s.Key), o); err != nil {
		t.Errorf("named by the place: got %v", err)
	}

	socket := filepath.Join(dir, "agent")
	agent := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
	})
	fixture.Run(t, "sh", "-c", "for i in $(seq 300); do [ -S "+socket+" ] && break; sleep 0.1; done; SSH_AUTH_SOCK="+socket+" ssh-add -q "+s.Key)
	o.Agent = socket
	if err := statCard(t, place, o); err != nil {
		t.Errorf("the agent's: got %v", err)
	}

	fixture.Run(t, "ssh-keygen", "-q", "-p", "-N", "sesame", "-f", s.Key)
	o = sshOptions(s)
	if err := statCard(t, place, o); err == nil || !strings.Contains(err.Error(), "its passphrase is not known") {
		t.Errorf("locked: got %v", err)
	}
	o.Password = func(_ context.Context, question string) (string, error) {
		if question != "Passphrase of "+s.Key {
			t.Errorf("got the question %q", question)
		}
		return "sesame", nil
	}
	if err := statCard(t, place, o); err != nil {
		t.Errorf("unlocked: got %v", err)
	}
}

// passwordServer is an SFTP server that takes a password, which it asks for in
// one of two ways: the system's would want one of a real account.
func passwordServer(t *testing.T, interactive bool) (addr, hostKey string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(password string) (*ssh.Permissions, error) {
		if password != "open sesame" {
			return nil, errors.New("no")
		}
		return nil, nil
	}
	config := &ssh.ServerConfig{}
	if interactive {
		config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			given, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			return judge(given[0])
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) { return judge(string(password)) }
	}
	config.AddHostKey(signer)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listen.Close() })
	go func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			go servePassword(c, config)
		}
	}()
	return listen.Addr().String(), ssh.FingerprintSHA256(signer.PublicKey())
}

func servePassword(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				r.Reply(r.Type == "subsystem", nil)
			}
		}()
		server, err := sftp.NewServer(channel)
		if err != nil {
			return
		}
		go server.Serve()
	}
}

func TestSFTPPasswords(t *testing.T) {
	t.Parallel()
	path := folder(t, map[string]string{"card.img": "x"}) + "/card.img"
	for _, interactive := range []bool{false, true} {
		addr, key := passwordServer(t, interactive)
		tail := "@" + addr + path + "?hostkey=" + key
		asked := 0
		o := store.SSHOptions{Password: func(context.Context, string) (string, error) {
			asked++
			return "open sesame", nil
		}}
		s, name, err := store.Open("sftp://pi"+tail, store.Options{SSH: o})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second connection does not ask again
			if _, err := store.Stat(t.Context(), s, name); err != nil {
				t.Errorf("interactive %v: %v", interactive, err)
			}
			store.Close(s)
		}
		if asked != 1 {
			t.Errorf("interactive %v: asked %d times", interactive, asked)
		}
		if err := statCard(t, "sftp://pi:open%20sesame"+tail, store.SSHOptions{}); err != nil {
			t.Errorf("of the place: %v", err)
		}
		err = statCard(t, "sftp://pi:sesame"+tail, store.SSHOptions{})
		if err == nil || strings.Contains(err.Error(), "sesame") || !strings.Contains(err.Error(), "tried: a password") {
			t.Errorf("a wrong one: got %v", err)
		}
	}
}
