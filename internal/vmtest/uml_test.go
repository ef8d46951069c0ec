package vmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestInGuest boots this package's own guest tests: what Options promise is
// there.
func TestInGuest(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, []byte("the guest's first disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<20); err != nil {
		t.Fatal(err)
	}
	Run(t, Options{
		Disks:    []string{disk},
		Locked:   []string{disk},
		Modules:  []string{"vfat", "nls_ascii", "scsi_debug dev_size_mb=9", "sd-mod"},
		Programs: []string{"tune2fs", "dd"},
		Files:    map[string]string{"/etc/deep/inside/file": disk},
	})
}

func TestGuestHasWhatWasAsked(t *testing.T) {
	Only(t)
	first := make([]byte, 22)
	f, err := os.Open("/dev/ubda")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(first); err != nil || string(first) != "the guest's first disk" {
		t.Errorf("first disk: got %q, %v", first, err)
	}
	for name, want := range map[string]string{
		"/sys/block/ubda/ro":                            "0",
		"/sys/block/ubdb/ro":                            "1",
		"/sys/module/scsi_debug/parameters/dev_size_mb": "9",
		"/sys/module/vfat/initstate":                    "live",
		"/sys/module/fat/initstate":                     "live", // what vfat needs
		"/sys/class/net/lo/flags":                       "0x9",  // up
	} {
		b, err := os.ReadFile(name)
		if got := strings.TrimSpace(string(b)); got != want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat("/etc/deep/inside/file"); err != nil || info.Size() != 1<<20 {
		t.Errorf("packed file: %v, %v", info, err)
	}
	if out, err := exec.Command("tune2fs").CombinedOutput(); !strings.Contains(string(out), "Usage: tune2fs") {
		t.Errorf("tune2fs: %v\n%s", err, out)
	}
	if os.Getpid() == 1 {
		t.Error("the test is process 1: its crash would be the machine's")
	}
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
}

func TestGuestSkip(t *testing.T) {
	Only(t)
	t.Skip("skipped on purpose")
}

// TestTranscript: what is not a mark is no result, and what did not end did not
// pass.
func TestTranscript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, console, want string }{
		{"all kinds", "booting\r\n" +
			"\x16=== RUN   TestGuestA\r\n    a_test.go:1: said\r\n\x16--- PASS: TestGuestA (0.00s)\r\n" +
			"\x16=== RUN   TestGuestB\r\n\x16=== RUN   TestGuestB/sub\r\n    \x16--- FAIL: TestGuestB/sub (0.00s)\r\n\x16--- FAIL: TestGuestB (0.00s)\r\n" +
			"\x16=== RUN   TestGuestC\r\n\x16--- SKIP: TestGuestC (0.00s)\r\nFAIL\r\n\r\nvmtest: exit code 1\r\n",
			"TestGuestA:PASS TestGuestB:FAIL TestGuestC:SKIP exit=1 err=<nil>"},
		{"a test that prints a result", "\x16=== RUN   TestGuestA\n--- PASS: TestGuestA (0.00s)\nvmtest: exit code 2\n",
			"TestGuestA: exit=2 err=<nil>"},
		{"output without an end of line", "\x16=== RUN   TestGuestA\nhalf a line\x16--- PASS: TestGuestA (0.00s)\nvmtest: exit code 0\n",
			"TestGuestA:PASS exit=0 err=<nil>"},
		{"in parallel", "\x16=== RUN   TestGuestA\n\x16=== PAUSE TestGuestA\n\x16=== RUN   TestGuestB\n\x16=== PAUSE TestGuestB\n" +
			"\x16=== CONT  TestGuestB\nb speaks\n\x16=== NAME  TestGuestA\na speaks\n\x16--- PASS: TestGuestA (0.00s)\n\x16--- PASS: TestGuestB (0.00s)\nvmtest: exit code 0\n",
			"TestGuestA:PASS TestGuestB:PASS exit=0 err=<nil>"},
		{"the kernel died", "\x16=== RUN   TestGuestA\nKernel panic\n", "TestGuestA: exit= err=it ended without a word"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := &transcript{}
			err := o.read(strings.NewReader(c.console))
			var got []string
			for _, g := range o.tests {
				got = append(got, g.name+":"+g.status)
			}
			got = append(got, fmt.Sprintf("exit=%s err=%v", o.exit, err))
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
			for _, g := range o.tests {
				if c.name == "in parallel" && !slices.Equal(g.lines, []string{strings.ToLower(g.name[9:]) + " speaks"}) {
					t.Errorf("%s said %q", g.name, g.lines)
				}
			}
		})
	}
}
