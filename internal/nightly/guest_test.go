package nightly

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// systemdProgram is the manager itself. Its libraries lie in a folder of its own.
const systemdProgram = "/usr/lib/systemd/systemd"

// TestInGuest runs the tests below in a guest of its own: a systemd does things
// to the system that it finds itself in.
func TestInGuest(t *testing.T) {
	t.Parallel()
	fixture.Need(t, systemdProgram, "ldd", "unshare", "nsenter", "sleep", "sh")
	files := map[string]string{systemdProgram: systemdProgram}
	for line := range strings.Lines(fixture.Run(t, "ldd", systemdProgram)) {
		if _, path, ok := strings.Cut(line, " => "); ok {
			path, _, _ = strings.Cut(path, " ")
			files[path] = path
		}
	}
	vmtest.Run(t, vmtest.Options{Memory: 768 << 20, Programs: []string{"unshare", "nsenter", "sleep", "sh"}, Files: files})
}

// TestGuestSystemd stops and starts real units by a real systemd.
func TestGuestSystemd(t *testing.T) {
	vmtest.Only(t)
	const bare = "[Unit]\nDefaultDependencies=no\n" // an empty file is a unit that is masked
	for path, text := range map[string]string{
		"good.service":   "[Service]\nExecStart=/bin/sleep 1000\n",
		"bad.service":    "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n",
		"test.target":    "[Unit]\nDefaultDependencies=no\nWants=good.service\n",
		"sysinit.target": bare, "basic.target": bare, "shutdown.target": bare,
	} {
		write(t, "/units/"+path, text)
	}
	if err := errors.Join(os.MkdirAll("/run", 0o755), os.MkdirAll("/sys/fs/cgroup", 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--fork", "--pid", "--mount-proc", systemdProgram, "--system", "--unit=test.target", "--log-target=console", "--show-status=0")
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH=/units", "container=test")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { t.Log(out.String()) }()
	inside := insideOf(t, cmd.Process.Pid)
	// systemd answers nobody whose process it cannot see.
	child := fixture.Child(t, "units")
	client := exec.Command("nsenter", append([]string{"--target", inside, "--pid", "--"}, child.Args...)...)
	client.Env = child.Env
	if said, err := client.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// insideOf is the first process that unshare has forked.
func insideOf(t *testing.T, unshare int) string {
	t.Helper()
	for range 300 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", unshare, unshare))
		if pids := strings.Fields(string(b)); err == nil && len(pids) > 0 {
			return pids[0]
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no systemd was started")
	return ""
}

func TestMain(m *testing.M) {
	fixture.Main(m, map[string]func(*testing.T, []string){"units": unitsInside})
}

// unitsInside is the half of TestGuestSystemd that systemd can see.
func unitsInside(t *testing.T, _ []string) {
	var units Units
	var err error
	for range 300 {
		if units, err = Systemd(t.Context()); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer units.Close()
	running := func(want bool) {
		t.Helper()
		for range 300 {
			if got, err := units.Running(t.Context(), "good.service"); err != nil {
				t.Fatal(err)
			} else if got == want {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("good.service: running is not %v", want)
	}
	running(true)
	if err := units.Stop(t.Context(), "good.service"); err != nil {
		t.Fatal(err)
	}
	running(false)
	if err := units.Start(t.Context(), "good.service"); err != nil {
		t.Fatal(err)
	}
	running(true)
	if err := units.Start(t.Context(), "bad.service"); err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("a service that cannot start: %v", err)
	}
	if _, err := units.Running(t.Context(), "none.service"); err == nil || !strings.Contains(err.Error(), "does not know it") {
		t.Errorf("a service that is not there: %v", err)
	}
}
