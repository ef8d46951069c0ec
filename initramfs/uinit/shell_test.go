package uinit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"lifeboat/initramfs/uinit"
)

// says runs lines in a shell and returns what it printed.
func says(t *testing.T, lines string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if err := uinit.Shell(t.Context(), strings.NewReader(lines), &o, &e, nil); err != nil {
		t.Fatal(err)
	}
	return o.String(), e.String()
}

func TestShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ name, lines, out, errs string }{
		{"words of the shell", "a=3; for i in 1 2; do echo $a$i; done\n", "31\n32\n", ""},
		{"commands over lines", "if true\nthen echo yes\nfi\necho 'a\nb'\n", "yes\na\nb\n", ""},
		{"the last line has no end", "echo x", "x\n", ""},
		{"a pipe of commands in this process", "echo hello | cat | gzip | gunzip -c\n", "hello\n", ""},
		{"a mistake is told, and it goes on", "echo )\necho on\n", "on\n", "shell: "},
		{"no such program", "frobnicate\necho $?\n", "127\n", "frobnicate"},
		{"a command fails", "cat nothing-here\necho $?\n", "1\n", "cat: "},
		{"exit", "exit\necho no\n", "", ""},
		{"a program", "sh -c 'echo from a program; exit 7'\necho $?\n", "from a program\n7\n", ""},
		{"help", "help\n", "mount [-t TYPE]", ""},
		{"mounts", "mount\n", "proc /proc proc", ""},
		{"mount wants two", "mount /dev/sda1\n", "", "mount: want a device and a folder"},
		{"umount wants one", "umount\n", "", "umount: want a folder"},
		{"addresses", "ip address show\n", "lo: <", ""},
		{"ip changes nothing", "ip link set lo down\n", "", "only shows"},
		{"no rescue system", "reboot\n", "", "not the rescue system"},
		{"sleep", "sleep 0.01 && echo woke\n", "woke\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, errs := says(t, "cd "+dir+"\n"+c.lines)
			if !strings.Contains(out, c.out) || c.out == "" && out != "" {
				t.Errorf("printed %q, want %q", out, c.out)
			}
			if !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("errors %q, want %q", errs, c.errs)
			}
		})
	}
}

func TestShellFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, errs := says(t, "cd "+dir+`
mkdir -p a/b
echo text > a/b/f
cp a/b/f a/g
mv a/g a/h
ln=a/l; sh -c 'ln -s b/f a/l; ln a/h a/h2'
touch a/empty
chmod 600 a/h
tar -czf t.tgz a
tar xf t.tgz -C / nothing/of/this
rm -r a
mkdir x
tar -x -C x -f ../`+filepath.Base(dir)+`/t.tgz
gzip -k x/a/b/f
gunzip -c x/a/b/f.gz > copy
gzip t.tgz
find x -type f > list
shasum -a 256 x/a/h > sum
`)
	if errs != "" {
		t.Fatalf("errors: %s", errs)
	}
	if got, err := os.ReadFile(dir + "/x/a/h"); err != nil || string(got) != "text\n" {
		t.Errorf("x/a/h holds %q, %v", got, err)
	}
	if got, err := os.Readlink(dir + "/x/a/l"); err != nil || got != "b/f" {
		t.Errorf("link x/a/l: %q, %v", got, err)
	}
	h, _ := os.Stat(dir + "/x/a/h")
	if h2, err := os.Stat(dir + "/x/a/h2"); err != nil || h == nil || h.Mode().Perm() != 0o600 || h2.Size() != 5 {
		t.Errorf("x/a/h2: %v", err)
	}
	if got, _ := os.ReadFile(dir + "/copy"); string(got) != "text\n" {
		t.Errorf("gunzip says %q", got)
	}
	if _, err := os.Stat(dir + "/t.tgz.gz"); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(dir + "/list"); !strings.Contains(string(got), "x/a/b/f") {
		t.Errorf("find says %q", got)
	}
	want := sha256.Sum256([]byte("text\n"))
	if got, _ := os.ReadFile(dir + "/sum"); !strings.HasPrefix(string(got), hex.EncodeToString(want[:])) {
		t.Errorf("shasum says %q", got)
	}
}

// A command reads what follows its line, as in any shell.
func TestShellLeavesInput(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("head -n 1\nfor the program\necho after\n")
	w.Close()
	var out, errs bytes.Buffer
	if err := uinit.Shell(t.Context(), r, &out, &errs, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "for the program\n") {
		t.Errorf("printed %q, errors %q", out.String(), errs.String())
	}
}

func TestShellInterrupt(t *testing.T) {
	t.Parallel()
	interrupts := make(chan os.Signal, 1)
	interrupts <- syscall.SIGINT
	var out, errs bytes.Buffer
	began := time.Now()
	err := uinit.Shell(t.Context(), strings.NewReader("sleep 600\necho alive\n"), &out, &errs, interrupts)
	if err != nil || !strings.Contains(out.String(), "alive") || time.Since(began) > time.Minute {
		t.Errorf("after %v: printed %q, errors %q, %v", time.Since(began), out.String(), errs.String(), err)
	}
}

func TestShellEndsWithContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := uinit.Shell(ctx, strings.NewReader("echo x\n"), &bytes.Buffer{}, &bytes.Buffer{}, nil); err == nil {
		t.Error("no error")
	}
}

func TestShellOnTerminal(t *testing.T) {
	t.Parallel()
	a := newSeat(t)
	tty, err := os.OpenFile(a.path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	done := make(chan error, 1)
	go func() { done <- uinit.Shell(t.Context(), tty, tty, tty, nil) }()
	a.sees(t, "# ")
	a.types(t, "ech\x03echo one$((1+1))\r") // ctrl-C drops what was there
	// Before the prompt the terminal edits by itself, and takes ctrl-D away.
	a.sees(t, "one2", "# ")
	a.types(t, "echo wro\x7fng $(shas\t/dev/null)\r") // completion
	a.sees(t, "da39a3ee", "# ")
	a.types(t, "\x1b[A\x1b[A\r") // history: two up
	a.sees(t, "one2", "# ")
	a.types(t, "\x04")
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the shell does not end at ctrl-D")
	}
}

func TestMountFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args  []string
		flags uintptr
		data  string
		err   string
	}{
		{[]string{"/dev/sda1", "/mnt"}, 0, "", ""},
		{[]string{"-o", "ro,noload", "/dev/sda1", "/mnt"}, unix.MS_RDONLY, "noload", ""},
		{[]string{"-r", "-o", "norecovery", "/dev/sda1", "/mnt"}, unix.MS_RDONLY, "norecovery", ""},
		{[]string{"-o", "remount,rw", "/mnt"}, unix.MS_REMOUNT, "", ""},
		{[]string{"-t"}, 0, "", "-t needs"},
		{[]string{"-x", "a", "b"}, 0, "", "-x is not known"},
		{[]string{"a", "b", "c"}, 0, "", "want a device"},
	} {
		flags, data, err := uinit.MountFlags(c.args...)
		if flags != c.flags || data != c.data || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %#x %q %v", c.args, flags, data, err)
		}
	}
}

func TestCommandNames(t *testing.T) {
	t.Parallel()
	names := uinit.CommandNames()
	if len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("a name stands twice: %q", names)
	}
	for _, want := range []string{"ls", "cat", "cp", "mv", "rm", "mkdir", "find", "chmod", "gzip", "tar", "touch", "xargs", "shasum", "mktemp", "base64", "mount", "umount", "dmesg", "disks", "ip", "reboot", "poweroff"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}
