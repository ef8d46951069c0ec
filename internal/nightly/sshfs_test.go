package nightly

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// TestSSHFS mounts a folder of a real SSH server, which comes up late, as a NAS
// does that slept.
func TestSSHFS(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "sshd", "ssh-keygen", "sshfs", "mountpoint", "umount")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		fixture.Missing(t, "/dev/fuse")
	}
	dir, served := t.TempDir(), t.TempDir()
	for _, name := range []string{"host", "user"} {
		fixture.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
	}
	if err := os.Rename(filepath.Join(dir, "user.pub"), filepath.Join(dir, "authorized")); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	me := must(user.Current()).Username
	late := time.AfterFunc(3*time.Second, func() {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Error(err)
		}
		cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", filepath.Join(dir, "host"), "-p", fmt.Sprint(port),
			"-o", "ListenAddress=127.0.0.1", "-o", "AuthorizedKeysFile="+filepath.Join(dir, "authorized"), "-o", "StrictModes=no",
			"-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp", "-o", "PidFile=none")
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	})
	defer late.Stop()
	host := Host{RunDir: t.TempDir(), Fstab: "/dev/null", Proc: os.DirFS("/proc"), Run: Exec, Have: func(string) bool { return true }, Pauses: []time.Duration{time.Second}}
	s := Settings{
		To: "sshfs:" + me + "@127.0.0.1:" + served, Wait: time.Minute,
		MountOptions: fmt.Sprintf("port=%d,IdentityFile=%s,StrictHostKeyChecking=no,UserKnownHostsFile=/dev/null", port, filepath.Join(dir, "user")),
	}
	var tries int
	logf := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		t.Log(text)
		if strings.Contains(text, "once more") {
			tries++
		}
	}
	var mounted string
	err := host.Visit(t.Context(), s, logf, func(folder string) error {
		mounted = folder
		return os.WriteFile(filepath.Join(folder, "file"), []byte("over ssh"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if tries == 0 {
		t.Error("the server was there at once: nothing was tried again")
	}
	equal(t, "file", string(must(os.ReadFile(filepath.Join(served, "file")))), "over ssh")
	if _, err := os.Stat(filepath.Join(mounted, "file")); err == nil {
		t.Error("it is still mounted")
	}
}

// freePort is a port that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
