// Package vmtest is for tests: it answers what only a whole machine can. Run
// boots a package's own tests as the first program of a User-Mode Linux guest
// (seconds; any Linux kernel will do), Start boots a board in QEMU. Both are
// emulated, need no KVM, and leave nothing behind. No shipped binary links it.
package vmtest

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// Options say what a guest of Run has. The zero value is a guest with 256 MiB,
// no disk and no modules.
type Options struct {
	Disks    []string          // image files, for /dev/ubda, /dev/ubdb, …, in this order
	Locked   []string          // image files behind those of Disks, which the guest can only read
	Memory   int64             // bytes; /tmp and what is packed lie in it too
	Modules  []string          // kernel modules and their parameters: "scsi_debug dev_size_mb=64"
	Programs []string          // programs of this host, packed into /bin with their libraries
	Files    map[string]string // more files of this host, by their path in the guest
	Timeout  time.Duration     // for all tests together; 0 = two minutes
}

const (
	umlProgram     = "linux.uml"
	umlMemory      = 256 << 20
	umlTimeout     = 2 * time.Minute
	umlPowerOff    = 5 * time.Second
	umlBootAllowed = 30 * time.Second // on top of Timeout, on a busy machine
)

// Only skips a test that is not running in a guest. A guest test has a name that
// begins with TestGuest, and begins with this.
func Only(tb testing.TB) {
	tb.Helper()
	if os.Getenv(guestEnv) == "" {
		tb.Skip("runs in a guest, by way of a test that calls vmtest.Run")
	}
}

// Run compiles the tests of the calling test's package, boots them in a guest,
// and reports each whose name begins with TestGuest as a subtest of t. One such
// test is all that a package needs:
//
//	func TestInGuest(t *testing.T) { vmtest.Run(t, vmtest.Options{Modules: []string{"loop"}}) }
func Run(t *testing.T, o Options) {
	t.Helper()
	if os.Getenv(guestEnv) != "" {
		t.Skip("is in a guest already")
	}
	fixture.Need(t, umlProgram, "go", "gcc")
	timeout := o.Timeout
	if timeout == 0 {
		timeout = umlTimeout
	}
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	if err := o.pack(t, dir, initrd, timeout); err != nil {
		t.Fatal(err)
	}
	if err := makeShim(t, dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout+umlBootAllowed)
	defer cancel()
	out, err := boot(ctx, dir, o.kernelArgs(dir, initrd))
	if err != nil {
		t.Fatalf("guest: %v\n%s", err, out.tail())
	}
	out.report(t)
}

//go:embed testdata/xstate.c
var shimSource string

const shimName = "xstate.so"

// makeShim compiles what has a guest start on CPUs that are newer than its kernel.
func makeShim(t *testing.T, dir string) error {
	cmd := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-x", "c", "-o", filepath.Join(dir, shimName), "-")
	cmd.Stdin = strings.NewReader(shimSource)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, out)
	}
	return nil
}

func (o Options) kernelArgs(dir, initrd string) []string {
	memory := o.Memory
	if memory == 0 {
		memory = umlMemory
	}
	args := []string{
		fmt.Sprintf("mem=%dM", memory>>20), "initrd=" + initrd, "rdinit=/init",
		"con=null", "con0=null,fd:1", "quiet", "panic=-1", "uml_dir=" + dir, "umid=guest",
	}
	for i, d := range o.Disks {
		args = append(args, fmt.Sprintf("ubd%d=%s", i, d))
	}
	for i, d := range o.Locked {
		args = append(args, fmt.Sprintf("ubd%dr=%s", len(o.Disks)+i, d))
	}
	return args
}

// boot runs the guest until it has told its exit code, and ends it.
func boot(ctx context.Context, dir string, args []string) (*transcript, error) {
	out := &transcript{}
	cmd := exec.CommandContext(ctx, umlProgram, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "LD_PRELOAD="+filepath.Join(dir, shimName))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the guest's processes are processes here
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	pipe, w, err := os.Pipe()
	if err != nil {
		return out, err
	}
	defer pipe.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return out, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	scanErr := out.read(pipe)
	select {
	case <-ended:
	case <-time.After(umlPowerOff):
		cmd.Cancel()
		<-ended
	}
	cmd.Cancel() // what it left behind; no such process is the rule
	if ctx.Err() != nil {
		return out, fmt.Errorf("it did not end in time: %w", ctx.Err())
	}
	return out, scanErr
}

// A transcript is what a guest's console said, by test.
type transcript struct {
	tests   []*guestTest
	current *guestTest
	last    []string // the last lines, whosever they are
	exit    string
}

type guestTest struct {
	name   string
	status string // PASS, FAIL, SKIP; "" while it runs
	lines  []string
}

const tailKept = 60

// read takes lines until the guest's last one.
func (o *transcript) read(r io.Reader) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := strings.TrimRight(sc.Text(), "\r")
		if code, ok := strings.CutPrefix(line, exitMarker); ok {
			o.exit = code
			return nil
		}
		o.last = append(o.last, line)
		o.last = o.last[max(0, len(o.last)-tailKept):]
		o.take(line)
	}
	if err := sc.Err(); err != nil {
		return err
	}
	return fmt.Errorf("it ended without a word")
}

// take sorts a line by the marks of -test.v=test2json, which begin with a
// control character, so that nothing a test prints is taken for one.
func (o *transcript) take(line string) {
	before, mark, ok := strings.Cut(line, "\x16")
	if !ok {
		if o.current != nil {
			o.current.lines = append(o.current.lines, line)
		}
		return
	}
	fields := strings.Fields(mark)
	if before = strings.TrimRight(before, " "); before != "" && o.current != nil {
		o.current.lines = append(o.current.lines, before)
	}
	if len(fields) < 3 {
		return
	}
	name, _, sub := strings.Cut(fields[2], "/")
	switch fields[0] {
	case "===":
		o.current = o.test(name)
		if sub && fields[1] == "RUN" {
			o.current.lines = append(o.current.lines, "--- "+fields[2])
		}
	case "---":
		o.current = o.test(name)
		status := strings.TrimSuffix(fields[1], ":")
		if !sub {
			o.current.status = status
		} else if status != "PASS" {
			o.current.lines = append(o.current.lines, mark)
		}
	}
}

func (o *transcript) test(name string) *guestTest {
	for _, t := range o.tests {
		if t.name == name {
			return t
		}
	}
	t := &guestTest{name: name}
	o.tests = append(o.tests, t)
	return t
}

func (o *transcript) tail() string { return strings.Join(o.last, "\n") }

func (o *transcript) report(t *testing.T) {
	t.Helper()
	failed := false
	for _, g := range o.tests {
		failed = failed || g.status != "PASS" && g.status != "SKIP"
		t.Run(g.name, g.report)
	}
	switch {
	case len(o.tests) == 0:
		t.Fatalf("guest: no test ran; its last lines:\n%s", o.tail())
	case o.exit != "0" && !failed:
		t.Fatalf("guest: exit code %s; its last lines:\n%s", o.exit, o.tail())
	}
}

func (g *guestTest) report(t *testing.T) {
	if len(g.lines) > 0 {
		t.Log("\n" + strings.Join(g.lines, "\n"))
	}
	switch g.status {
	case "PASS":
	case "SKIP":
		t.Skip("skipped in the guest")
	case "FAIL":
		t.Fail()
	default:
		t.Fatal("it did not end")
	}
}
