package store_test

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lifeboat/clone/store"
	"lifeboat/clone/store/storetest"
	"lifeboat/internal/fixture"
)

// sshOptions are those of who may log in.
func sshOptions(s *fixture.SSHServer) store.SSHOptions {
	return store.SSHOptions{Identities: []string{s.Key}, KnownHosts: []string{s.KnownHosts}}
}

// sftpStore is the folder behind a server, or behind what stands before it.
func sftpStore(t *testing.T, s *fixture.SSHServer, addr, dir string, o store.SSHOptions) *store.SFTP {
	t.Helper()
	u := &url.URL{Scheme: "sftp", User: url.User(s.User), Host: addr, Path: dir}
	st, err := store.NewSFTP(u, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// TestSFTP runs the suite against the system's sshd.
func TestSFTP(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	storetest.Run(t, func(t *testing.T, files map[string]string) store.Store {
		return sftpStore(t, s, s.Addr, folder(t, files), sshOptions(s))
	})
}

// TestSFTPPlain is a server without OpenSSH's extensions, as some NAS have it.
func TestSFTPPlain(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t, "Subsystem sftp internal-sftp -P posix-rename,fsync,statvfs")
	storetest.Run(t, func(t *testing.T, files map[string]string) store.Store {
		return sftpStore(t, s, s.Addr, folder(t, files), sshOptions(s))
	})
}

// leftovers are the files in the making that lie in a folder.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestClocks(t *testing.T) {
	t.Parallel()
	s := fixture.SSHD(t)
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	for _, st := range []store.Store{store.NewFolder(dir + "-too"), sftpStore(t, s, s.Addr, dir, sshOptions(s))} {
		before := time.Now().Add(-2 * time.Second)
		now, err := store.Now(t.Context(), st)
		if err != nil || now.Before(before) || now.After(time.Now().Add(2*time.Second)) {
			t.Errorf("%T: got %v and %v", st, now, err)
		}
	}
	for _, dir := range []string{dir, dir + "-too"} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	}
}
