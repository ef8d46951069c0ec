package store_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lifeboat/clone/store"
	"lifeboat/internal/fixture"
)

// big is more than an SFTP store keeps in memory of a file that is put.
var big = strings.Repeat(content, 1+(9<<20)/len(content))

// TestSFTPReadsOutliveCuts: a line that breaks every 2 MiB, and a server that is
// killed and started again.
func TestSFTPReadsOutliveCuts(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{"card.img": big})
	line := fixture.NewLine(t, s.Addr)
	line.CutAfter(2<<20, 4)
	o := sshOptions(s)
	o.KnownHosts = knownAs(t, s, line.Addr)
	got, err := resume(t, sftpStore(t, s, line.Addr, dir, o), store.ResumeOptions{Backoff: time.Millisecond})
	if err != nil || got != big {
		t.Errorf("got %d bytes and %v, want %d", len(got), err, len(big))
	}
	if line.Made() != 5 {
		t.Errorf("got %d connections, want 5", line.Made())
	}

	st := sftpStore(t, s, s.Addr, dir, sshOptions(s))
	body, _, err := store.Resume(t.Context(), st, "card.img", store.ResumeOptions{Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	head := make([]byte, 100_000)
	if _, err := io.ReadFull(body, head); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start()
	rest, err := io.ReadAll(body)
	if err != nil || string(head)+string(rest) != big {
		t.Errorf("after a kill: got %d bytes and %v", len(rest), err)
	}
	if _, err := st.Stat(t.Context(), "card.img"); err != nil {
		t.Errorf("stat after a kill: %v", err)
	}
}

func TestSFTPMindsChanges(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{"card.img": big})
	st := sftpStore(t, s, s.Addr, dir, sshOptions(s))
	r, _, err := store.ReaderAt(t.Context(), st, "card.img", store.ResumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.WriteFile(filepath.Join(dir, "card.img"), []byte(big+"!"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = r.ReadAt(make([]byte, 100), 5)
	wantIs(t, err, store.ErrChanged)
}

// knownAs are the known hosts of a server that is met at another address.
func knownAs(t *testing.T, s *fixture.SSHServer, addr string) []string {
	t.Helper()
	line, err := os.ReadFile(s.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	bracket := func(addr string) []byte {
		host, port, _ := strings.Cut(addr, ":")
		return []byte("[" + host + "]:" + port)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, bytes.Replace(line, bracket(s.Addr), bracket(addr), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{file}
}

// TestSFTPPutOutlivesCuts cuts uploads at many places: what has its name in the
// end is whole, whether its size was known or not.
func TestSFTPPutOutlivesCuts(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := t.TempDir()
	line := fixture.NewLine(t, s.Addr)
	o := sshOptions(s)
	o.KnownHosts = knownAs(t, s, line.Addr)
	for i, after := range []int64{4_000, 100_000, 5_000_000, 8_000_000} {
		line.CutAfter(after, 2)
		st := sftpStore(t, s, line.Addr, dir, o)
		size := int64(-1)
		if i%2 == 0 {
			size = int64(len(big))
		}
		if err := st.Put(t.Context(), "card.img", size, strings.NewReader(big)); err != nil {
			t.Errorf("cut after %d bytes: %v", after, err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "card.img")); err != nil || string(got) != big {
			t.Errorf("cut after %d bytes: got %d bytes and %v", after, len(got), err)
		}
		if err := os.Remove(filepath.Join(dir, "card.img")); err != nil {
			t.Error(err)
		}
	}
	if found := leftovers(t, dir); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
}

// TestSFTPLostAnswers: what the server did, and could not tell, is done.
func TestSFTPLostAnswers(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{"a": "a", "b": "b", "c": "c"})
	line := fixture.NewLine(t, s.Addr)
	o := sshOptions(s)
	o.KnownHosts = knownAs(t, s, line.Addr)
	st := sftpStore(t, s, line.Addr, dir, o)
	for name, do := range map[string]func() error{
		"remove": func() error { return st.Remove(t.Context(), "a") },
		"move":   func() error { return st.Move(t.Context(), "b", "d") },
		"list": func() error {
			for _, err := range st.List(t.Context(), "") {
				return err
			}
			return nil
		},
	} {
		if _, err := st.Stat(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		broke := false
		line.BreakAt(fixture.Break{Answers: true, Skip: map[string]int{"remove": 1}[name], Then: func() { broke = true }})
		if err := do(); err != nil || !broke {
			t.Errorf("%s: got %v, line broken: %t", name, err, broke)
		}
	}
	if _, err := st.Stat(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	line.BreakAt(fixture.Break{Answers: true, Skip: 5, Then: func() { // open, write, fsync, fstat, close
		if got, err := os.ReadFile(filepath.Join(dir, "e")); err != nil || string(got) != "ours" {
			t.Errorf("the line did not break behind the rename: %v", err)
		}
		writeFile(t, filepath.Join(dir, "e"), "somebody else's")
	}})
	if err := store.PutBytes(t.Context(), st, "e", []byte("ours")); err != nil {
		t.Errorf("put: %v", err)
	}
	for name, there := range map[string]bool{"a": false, "b": false, "c": true, "d": true, "e": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); there != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestSFTPPutWithoutServer: the server is killed in the middle, and stays away.
func TestSFTPPutWithoutServer(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{"card.img": "old"})
	st := sftpStore(t, s, s.Addr, dir, sshOptions(s))
	r := io.MultiReader(strings.NewReader(big), readerFunc(func([]byte) (int, error) {
		s.Stop()
		return 0, io.EOF
	}))
	if err := st.Put(t.Context(), "card.img", -1, r); err == nil || !strings.Contains(err.Error(), s.Addr) {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "card.img")); err != nil || string(got) != "old" {
		t.Errorf("got %d bytes and %v, want the old ones", len(got), err)
	}
}

// TestSFTPDeadServers: one that is stopped, and a line that carries nothing, hold
// nobody for longer than patience, or than the context.
func TestSFTPDeadServers(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := folder(t, map[string]string{"card.img": big})
	line := fixture.NewLine(t, s.Addr)
	o := sshOptions(s)
	o.KnownHosts = knownAs(t, s, line.Addr)
	for name, op := range map[string]func(context.Context, *store.SFTP) error{
		"open": func(ctx context.Context, st *store.SFTP) error { _, err := st.Open(ctx, "card.img", 0); return err },
		"put": func(ctx context.Context, st *store.SFTP) error {
			return st.Put(ctx, "new", -1, strings.NewReader(big))
		},
		"list": func(ctx context.Context, st *store.SFTP) error {
			for _, err := range st.List(ctx, "") {
				return err
			}
			return nil
		},
		"clock": func(ctx context.Context, st *store.SFTP) error { _, err := st.Now(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			st := sftpStore(t, s, line.Addr, dir, o)
			if _, err := st.Stat(t.Context(), "card.img"); err != nil {
				t.Fatal(err)
			}
			line.Hold(true)
			defer line.Hold(false)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			start := time.Now()
			wantIs(t, op(ctx, st), context.DeadlineExceeded)
			// A put tries to take away what it began, for ten seconds.
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
	short := sshOptions(s)
	short.Patience = 3 * time.Second
	st := sftpStore(t, s, s.Addr, dir, short)
	if _, err := st.Stat(t.Context(), "card.img"); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGSTOP)
	start := time.Now()
	// It is given up, or a second connection does it: whichever watch is first.
	if body, err := st.Open(t.Context(), "card.img", 0); err == nil {
		body.Close()
	}
	if took := time.Since(start); took < time.Second || took > time.Minute {
		t.Errorf("a stopped server: took %v", took)
	}
	if _, err := st.Stat(t.Context(), "card.img"); err != nil {
		t.Errorf("a new connection: %v", err)
	}
}

func TestSFTPSaysThatThereIsNoRoom(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	s := fixture.SSHD(t)
	dir := t.TempDir()
	fixture.Run(t, "mount", "-t", "tmpfs", "-o", "size=2m", "none", dir)
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	err := sftpStore(t, s, s.Addr, dir, sshOptions(s)).Put(t.Context(), "card.img", -1, strings.NewReader(big))
	if err == nil || !strings.Contains(err.Error(), "no room is left there") {
		t.Errorf("got %v", err)
	}
	if found := leftovers(t, dir); len(found) > 0 {
		t.Errorf("left behind: %q", found)
	}
}

func TestSFTPCancelledPutLeavesNothing(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := t.TempDir()
	st := sftpStore(t, s, s.Addr, dir, sshOptions(s))
	ctx, cancel := context.WithCancel(t.Context())
	err := st.Put(ctx, "card.img", -1, io.MultiReader(strings.NewReader(big), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	})))
	wantIs(t, err, context.Canceled)
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
