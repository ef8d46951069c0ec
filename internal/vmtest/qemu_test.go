package vmtest_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestDebianCard holds the premise of every test that restores a real system:
// the card of testdata/debian-card.sh boots from power on to the login prompt,
// by U-Boot alone, and tells its nonce.
func TestDebianCard(t *testing.T) {
	t.Parallel()
	ctx := limit(t, 5*time.Minute)
	card := debianCard(t, "1536M", "nonce-of-this-test")
	b := vmtest.Start(t, vmtest.Machine{
		Board: "virt",
		Disks: []vmtest.Disk{{Path: card, Slot: vmtest.NVMe, Serial: "CARD1"}},
	})
	line, err := b.Line(ctx, "NONCE ")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NONCE nonce-of-this-test ", "DISKSIZE 1610612736", "DISK CARD1"} {
		if !strings.Contains(line, want) {
			t.Errorf("got %q, want %q in it", line, want)
		}
	}
	expect(t, ctx, b, "raspberrypi login:")
	send(t, b, "root\n")
	expect(t, ctx, b, ":~#")
	send(t, b, "findmnt -no FSTYPE /boot/firmware; echo 4$((1+1))\n")
	expect(t, ctx, b, "vfat")
	expect(t, ctx, b, "42")
	send(t, b, "systemctl poweroff\n")
	if err := b.Wait(ctx); err != nil {
		t.Error(err)
	}
	fixture.Check(t, card)
}

func debianCard(t *testing.T, size, nonce string) string {
	t.Helper()
	fixture.Root(t)
	fixture.Need(t, "mmdebstrap", "depmod", "sfdisk", "mcopy")
	card := filepath.Join(t.TempDir(), "debian.img")
	script := filepath.Join(fixture.Top(t), "testdata", "debian-card.sh")
	if out, err := exec.CommandContext(t.Context(), script, card, size, nonce).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return card
}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func expect(t *testing.T, ctx context.Context, b *vmtest.Guest, text string) {
	t.Helper()
	if err := b.Expect(ctx, text); err != nil {
		t.Fatal(err)
	}
}

func send(t *testing.T, b *vmtest.Guest, keys string) {
	t.Helper()
	if err := b.Send(keys); err != nil {
		t.Fatal(err)
	}
}
