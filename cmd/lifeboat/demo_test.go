package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"lifeboat/internal/fixture"
	"lifeboat/internal/progress"
	"lifeboat/netboot"
)

// A workshop is what a demonstration needs: the tool for this machine and for
// boards, a key, and a report.
type workshop struct {
	testing.TB
	host, arm64 string // the tool
	dir         string
	public      string
	secret      []byte
	start       time.Time
}

func newWorkshop(tb testing.TB) *workshop {
	tb.Helper()
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := secret.MarshalText()
	if err != nil {
		tb.Fatal(err)
	}
	w := &workshop{TB: tb, dir: tb.TempDir(), public: public.String(), secret: text, start: time.Now()}
	w.host = w.compile("lifeboat")
	w.arm64 = w.compile("lifeboat-arm64", "GOARCH=arm64")
	return w
}

// compile builds the tool as the Makefile does. It stays in the cache, so that
// the next test need not link it again.
func (w *workshop) compile(name string, environ ...string) string {
	w.Helper()
	out := filepath.Join(fixture.Cache(w), "bin", name)
	cmd := exec.CommandContext(w.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, ".")
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), environ...)
	if text, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("build %s: %v\n%s", name, err, text)
	}
	return out
}

// reportf tells a line of the report, with the time since the start.
func (w *workshop) reportf(format string, args ...any) {
	w.Helper()
	w.Logf("%6.1f s  %s", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...))
}

// run runs the tool, which must succeed.
func (w *workshop) run(args ...string) string {
	w.Helper()
	out, code := w.try(args...)
	if code != exitDone {
		w.Fatalf("lifeboat %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (w *workshop) try(args ...string) (string, int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.host, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		w.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// card makes a real Debian card with a new identity, and returns its nonce.
func (w *workshop) card(path, size string) string {
	w.Helper()
	nonce := hex.EncodeToString(random8())
	fixture.Run(w, filepath.Join(fixture.Top(w), "testdata", "debian-card.sh"), path, size, nonce)
	return nonce
}

// bootCard makes a card with a disk ID, a FAT part with the files of boot (their
// names there, and here), and a root whose fstab refers to both parts.
func (w *workshop) bootCard(id string, boot map[string]string) string {
	w.Helper()
	card := fixture.Sparse(w, "card.img", 256<<20)
	table := filepath.Join(w.dir, "table")
	w.write(table, []byte("label: dos\nlabel-id: 0x"+id+"\nstart=4MiB, size=64MiB, type=c, bootable\nstart=68MiB, size=188MiB, type=83\n"))
	fixture.Run(w, "sh", "-c", "sfdisk --quiet "+card+" <"+table)
	fat, root := fixture.Sparse(w, "boot.img", 64<<20), fixture.Sparse(w, "root.img", 188<<20)
	fixture.Run(w, "mkfs.vfat", "-n", "BOOT", fat)
	for to, from := range boot {
		if dir := path.Dir(to); dir != "." {
			fixture.Run(w, "mmd", "-i", fat, "::"+dir)
		}
		fixture.Run(w, "mcopy", "-i", fat, from, "::"+to)
	}
	w.write(filepath.Join(w.mkdir("root/etc"), "fstab"), []byte("PARTUUID="+id+"-02 / ext4 defaults 0 1\nPARTUUID="+id+"-01 /boot vfat defaults 0 2\n"))
	fixture.Run(w, "mke2fs", "-q", "-t", "ext4", "-d", filepath.Join(w.dir, "root"), root)
	for _, part := range []struct{ file, mib string }{{fat, "4"}, {root, "68"}} {
		fixture.Run(w, "dd", "if="+part.file, "of="+card, "bs=1M", "seek="+part.mib, "conv=notrunc,sparse", "status=none")
	}
	return card
}

func random8() []byte {
	b := make([]byte, 8)
	rand.Read(b)
	return b
}

// job signs a job and puts it into the folder.
func (w *workshop) job(dir, text string) {
	w.Helper()
	sig, err := netboot.SignJob([]byte(text), w.secret, "")
	if err != nil {
		w.Fatal(err)
	}
	w.write(filepath.Join(dir, "job.toml"), []byte(text))
	w.write(filepath.Join(dir, "job.toml.minisig"), sig)
}

func (w *workshop) write(path string, data []byte) {
	w.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.Fatal(err)
	}
}

func (w *workshop) mkdir(name string) string {
	w.Helper()
	dir := filepath.Join(w.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.Fatal(err)
	}
	return dir
}

// sum is the SHA-256 of a file, in hex.
func (w *workshop) sum(path string) string {
	w.Helper()
	f, err := os.Open(path)
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		w.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (w *workshop) size(path string) string {
	w.Helper()
	info, err := os.Stat(path)
	if err != nil {
		w.Fatal(err)
	}
	return progress.Bytes(info.Size())
}

// limit is a context for d: what is emulated may be slow, but not forever.
func limit(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}
