package uinit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"lifeboat/initramfs/uinit"
)

func TestSupervise(t *testing.T) {
	t.Parallel()
	exit := func(code int) uinit.Ending { return uinit.Ending{Code: code} }
	for _, c := range []struct {
		name    string
		ends    []uinit.Ending
		answers []uinit.Answer
		want    uinit.Reason
		steps   string
	}{
		{"asked to reboot", []uinit.Ending{exit(uinit.ExitReboot)}, nil, uinit.ReasonReboot, "rescue"},
		{"asked to switch off", []uinit.Ending{exit(uinit.ExitPoweroff)}, nil, uinit.ReasonPoweroff, "rescue"},
		{"a shell, and back", []uinit.Ending{exit(uinit.ExitShell), exit(0), exit(uinit.ExitReboot)}, []uinit.Answer{uinit.WantShell},
			uinit.ReasonReboot, "rescue ask shell@/dev/ttyX rescue"},
		{"a shell that nobody came for", []uinit.Ending{exit(uinit.ExitShell), exit(uinit.ExitReboot)}, []uinit.Answer{uinit.Again},
			uinit.ReasonReboot, "rescue ask rescue"},
		{"a crash, and nobody there", []uinit.Ending{exit(2), {Code: -1, Signal: syscall.SIGSEGV}, exit(uinit.ExitPoweroff)}, []uinit.Answer{uinit.Again, uinit.Again},
			uinit.ReasonPoweroff, "rescue ask rescue ask rescue"},
		{"a crash, and a look around", []uinit.Ending{exit(2), exit(0), exit(uinit.ExitReboot)}, []uinit.Answer{uinit.WantShell},
			uinit.ReasonReboot, "rescue ask shell@/dev/ttyX rescue"},
		{"a crash, and off", []uinit.Ending{exit(1)}, []uinit.Answer{uinit.WantPoweroff}, uinit.ReasonPoweroff, "rescue ask"},
		{"ended as if all were done", []uinit.Ending{exit(0)}, []uinit.Answer{uinit.WantReboot}, uinit.ReasonReboot, "rescue ask"},
		{"killed, not asked", []uinit.Ending{{Code: uinit.ExitReboot, Signal: syscall.SIGKILL}}, []uinit.Answer{uinit.WantPoweroff}, uinit.ReasonPoweroff, "rescue ask"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var steps []string
			var waits []time.Duration
			ends, answers := c.ends, c.answers
			got := uinit.Supervise(t.Context(), func(shell bool, tty string) (uinit.Ending, string) {
				step := "rescue"
				if shell {
					step = "shell@" + tty
				}
				steps = append(steps, step)
				end := ends[0]
				ends = ends[1:]
				return end, "panic: no"
			}, func(text string, enter uinit.Answer, wait time.Duration) (uinit.Answer, string) {
				steps = append(steps, "ask")
				waits = append(waits, wait)
				if text == "" {
					t.Error("asks without a word")
				}
				a := answers[0]
				answers = answers[1:]
				return a, "/dev/ttyX"
			})
			if got != c.want || strings.Join(steps, " ") != c.steps {
				t.Errorf("%v after %q, want %v after %q", got, steps, c.want, c.steps)
			}
			if len(waits) > 1 && waits[1] <= waits[0] {
				t.Errorf("waits %v: a second crash in a row must wait longer", waits)
			}
		})
	}
}

func TestCrashIsTold(t *testing.T) {
	t.Parallel()
	var told string
	uinit.Supervise(t.Context(), func(bool, string) (uinit.Ending, string) {
		return uinit.Ending{Code: -1, Signal: syscall.SIGSEGV}, "panic: index out of range"
	}, func(text string, _ uinit.Answer, _ time.Duration) (uinit.Answer, string) {
		told = text
		return uinit.WantReboot, ""
	})
	for _, want := range []string{"killed by signal 11", "panic: index out of range", "s for a shell", "started again in 1s"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is missing in %q", want, told)
		}
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for sig, want := range map[os.Signal]uinit.Reason{
		syscall.SIGINT: uinit.ReasonReboot, syscall.SIGTERM: uinit.ReasonReboot, syscall.SIGUSR2: uinit.ReasonPoweroff,
	} {
		signals := make(chan os.Signal, 2)
		signals <- syscall.SIGHUP // is only caught
		signals <- sig
		var got uinit.Reason
		if err := uinit.WatchSignals(t.Context(), signals); !errors.As(err, &got) || got != want {
			t.Errorf("%v: %v, want %v", sig, err, want)
		}
		if !slices.Contains(uinit.Signals(), sig) {
			t.Errorf("main is not told to catch %v", sig)
		}
	}
}

// A reaper waits for every child of its process, so this runs in one of its own.
func TestStartOn(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := newSeat(t)
	cmd := exec.Command(self, "-test.run=^TestStartOnInside$", "-test.v")
	cmd.Env = append(os.Environ(), "STARTON_TTY="+a.path)
	var out []byte
	done := make(chan error, 1)
	go func() {
		var err error
		out, err = cmd.CombinedOutput()
		done <- err
	}()
	shown := a.sees(t, "it broke")
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(shown, "the menu") {
		t.Errorf("terminal shows %q", shown)
	}
}

func TestStartOnInside(t *testing.T) {
	tty := os.Getenv("STARTON_TTY")
	if tty == "" {
		return // TestStartOn calls it
	}
	dir := t.TempDir()
	script := fmt.Sprintf("echo the menu; sleep 1000 & echo $! > %s/orphan; tty > %s/tty; echo it broke >&2; kill -SEGV $$", dir, dir)
	end, words, err := uinit.StartOn(t.Context(), "/bin/sh", []string{"-c", script}, tty)
	if err != nil || end.Signal != syscall.SIGSEGV || words != "it broke" {
		t.Errorf("got %v, %q, %v", end, words, err)
	}
	pid, _ := os.ReadFile(dir + "/orphan")
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
		t.Error("what the child had started runs on")
	}
	if got, _ := os.ReadFile(dir + "/tty"); strings.TrimSpace(string(got)) != tty {
		t.Errorf("its terminal is %q, want %q", got, tty)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if end, _, err := uinit.StartOn(ctx, "/bin/sh", []string{"-c", "sleep 1000"}, tty); err != nil || end.Signal != syscall.SIGTERM {
		t.Errorf("the machine ends: got %v, %v", end, err)
	}
	if _, _, err := uinit.StartOn(t.Context(), dir+"/none", nil, tty); err == nil {
		t.Error("started what is not there")
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	if got := uinit.Tail("  panic: x\n", "goroutine 1\n"); got != "panic: x\ngoroutine 1" {
		t.Errorf("got %q", got)
	}
	long := uinit.Tail("panic: the reason\n", strings.Repeat("a", 10000), "the end")
	if !strings.HasPrefix(long, "panic: the reason") || !strings.HasSuffix(long, "the end") || len(long) > uinit.WordsSize {
		t.Errorf("%d bytes: %.40q", len(long), long)
	}
}

func TestUnmounts(t *testing.T) {
	t.Parallel()
	table := `rootfs / rootfs rw 0 0
proc /proc proc rw 0 0
devtmpfs /dev devtmpfs rw 0 0
/dev/sda1 /mnt/a\040b ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/fuse /mnt/a\040b/img fuse rw 0 0
broken
`
	if got := uinit.Unmounts(table); !slices.Equal(got, []string{"/mnt/a b/img", "/mnt/a b"}) {
		t.Errorf("got %q", got)
	}
}

func TestMounts(t *testing.T) {
	t.Parallel()
	var all []string
	for _, m := range uinit.Mounts() {
		all = append(all, m.String())
	}
	text := strings.Join(all, "\n")
	last := -1
	for _, want := range []string{`"devtmpfs" "/dev"`, `"proc" "/proc"`, `"sysfs" "/sys"`, `"devpts" "/dev/pts"`, `"tmpfs" "/tmp"`, `"tmpfs" "/run"`, `"/dev/fd" -> "/proc/self/fd"`} {
		at := strings.Index(text, want)
		if at <= last {
			t.Errorf("%s is missing, or too early", want)
		}
		last = at
	}
}

func TestSysctls(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, value := range map[string]string{"kernel/printk": "7 4 1 7", "kernel/panic": "-1", "vm/dirty_bytes": "0"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	uinit.SetSysctls(root, t.Logf)
	for name, want := range map[string]string{"kernel/printk": "4 4 1 7\n", "kernel/panic": "-1\n", "vm/dirty_bytes": "67108864\n"} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestMixSeed(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	one := uinit.MixSeed([]byte("seed"), now, fstest.MapFS{"device-tree/serial-number": {Data: []byte("1000")}})
	if one == uinit.MixSeed([]byte("seed"), now, fstest.MapFS{"device-tree/serial-number": {Data: []byte("1001")}}) {
		t.Error("two boards with one image begin alike")
	}
	if one == uinit.MixSeed([]byte("seed"), now.Add(1), fstest.MapFS{"device-tree/serial-number": {Data: []byte("1000")}}) {
		t.Error("two boots begin alike")
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	sys := fstest.MapFS{
		"class/block/sda/size":   {Data: []byte("1000\n")},
		"class/block/sda1/size":  {Data: []byte("100\n")},
		"class/block/sdb/size":   {Data: []byte("0\n")}, // a reader without a card
		"class/block/loop0/size": {Data: []byte("8\n")},
	}
	proc := fstest.MapFS{"modules": {Data: []byte("sd_mod 1 0\n")}}
	if got := uinit.Blocks(sys); !slices.Equal(got, []string{"sda", "sda1"}) {
		t.Errorf("block devices %q", got)
	}
	s := uinit.Settling{Sys: sys, Proc: proc, Quiet: 20 * time.Millisecond}
	if err := uinit.Settle(t.Context(), s); err != nil {
		t.Error(err)
	}
	s.Want = func(blocks []string) bool { return slices.Contains(blocks, "nvme0n1") }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := uinit.Settle(ctx, s); err == nil || !strings.Contains(err.Error(), "the wanted disks are not there (now sda sda1)") {
		t.Errorf("got %v", err)
	}
	asked := 0
	s.Want = func([]string) bool { asked++; return asked > 3 }
	if err := uinit.Settle(t.Context(), s); err != nil || asked < 4 {
		t.Errorf("after %d looks: %v", asked, err)
	}
}

// moving is a /sys where disks come and go.
type moving struct {
	fstest.MapFS
	n *int
}

func (m moving) ReadDir(name string) ([]os.DirEntry, error) {
	*m.n++
	fresh := fstest.MapFS{fmt.Sprintf("class/block/sd%d/size", *m.n): {Data: []byte("1\n")}}
	for k, v := range fresh {
		m.MapFS[k] = v
	}
	return m.MapFS.ReadDir(name)
}

func TestSettleNever(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	n := 0
	err := uinit.Settle(ctx, uinit.Settling{Sys: moving{fstest.MapFS{}, &n}, Proc: fstest.MapFS{}, Quiet: 20 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "still come and go") {
		t.Errorf("got %v", err)
	}
}
