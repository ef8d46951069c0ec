package vmtest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
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
	ctx := limit(t, 8*time.Minute)
	card := debianCard(t, "1536M", "nonce-of-this-test")
	var asked atomic.Int32
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 4<<20))
		fmt.Fprintf(w, "answer %d of the host\n", asked.Add(1))
	}))
	t.Cleanup(host.Close)
	b := vmtest.Start(t, vmtest.Machine{
		Board:   "virt",
		Disks:   []vmtest.Disk{{Path: card, Slot: vmtest.NVMe, Serial: "CARD1"}},
		Forward: host.Listener.Addr().String(),
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
	send(t, b, "until ip -4 addr | grep -q 10.0.2; do sleep 0.1; done; for i in 1 2 3; do"+
		" exec 3<>/dev/tcp/10.0.2.100/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tr -d '\\0' <&3; done\n")
	expect(t, ctx, b, "answer 3 of the host")
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
