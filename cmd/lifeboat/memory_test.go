package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// What the tool may have resident, whatever the size of the disk: bytes.
const (
	mostToRestore = 64 << 20 // a board with 256 MiB does it in the rescue system
	mostToSave    = 128 << 20
)

// TestLongMemory saves, restores and verifies a card of 64 GB, into files and a
// repository, and looks at the most memory that each took.
func TestLongMemory(t *testing.T) {
	fixture.Long(t)
	fixture.Root(t)
	fixture.Need(t, "mke2fs", "e2fsck", "sfdisk")
	w := newWorkshop(t)
	card, disk := largeCard(t), fixture.Sparse(t, "disk.img", 64e9)
	packed, place := filepath.Join(w.dir, "card.img.zst"), filepath.Join(w.dir, "repo")
	w.run("repo", "init", place)
	for _, c := range []struct {
		most int64
		args []string
	}{
		{mostToSave, []string{"backup", card, place}},
		{mostToSave, []string{"backup", card, packed}},
		{mostToRestore, []string{"restore", packed, disk}},
		{mostToRestore, []string{"restore", card, disk}},
		{mostToRestore, []string{"restore", place + "@latest", disk}},
		{mostToRestore, []string{"verify", packed, disk}},
	} {
		started := time.Now()
		peak, code := w.peak(c.args...)
		t.Logf("%v: %d MiB resident at most, %.0f s", c.args, peak>>20, time.Since(started).Seconds())
		if code != exitDone && code != exitReserved { // an ext4 alone does not boot
			t.Errorf("%s: exit code %d", c.args[0], code)
		}
		if peak > c.most {
			t.Errorf("%v: %d bytes were resident", c.args, peak)
		}
	}
	fixture.Check(t, disk)
}

// largeCard is a disk of 64 GB with an ext4 that holds 1 GiB.
func largeCard(t *testing.T) string {
	t.Helper()
	const start, files = 4 << 20, 64
	dir := t.TempDir()
	b := make([]byte, 16<<20)
	for i := range files {
		rand.Read(b)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	card := fixture.Sparse(t, "card.img", 64e9)
	fixture.Run(t, "sh", "-c", fmt.Sprintf("printf '%dM,,83\\n' | sfdisk -q %s", start>>20, card))
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", fmt.Sprintf("offset=%d", start), "-d", dir, card, fmt.Sprint(int64(64e9-start)/4096))
	return card
}

// peak runs the tool, and tells the most memory that it had resident, bytes.
func (w *workshop) peak(args ...string) (most int64, code int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.host, args...)
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	for {
		select {
		case <-ended:
			return most, cmd.ProcessState.ExitCode()
		case <-time.After(20 * time.Millisecond):
			text, _ := os.ReadFile(status) // gone at the end
			most = max(most, highWater(string(text)))
		}
	}
}

// highWater reads proc_pid_status(5).
func highWater(status string) int64 {
	for line := range strings.Lines(status) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
