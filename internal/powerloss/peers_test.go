package powerloss_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"lifeboat/internal/fixture"
)

// peers counts what other people's tools make of the same cards.
type peers struct {
	mu        sync.Mutex
	cards     int
	partclone verdicts
	e2image   verdicts
}

// verdicts count how copies came out.
type verdicts struct{ refused, lost int }

func (p *peers) String() string {
	return fmt.Sprintf("%d cards: partclone.ext4 refuses %d, and with --force loses something of %d; e2image -ra refuses %d and loses something of %d",
		p.cards, p.partclone.refused, p.partclone.lost, p.e2image.refused, p.e2image.lost)
}

// compare lets partclone and e2image copy a part by its used blocks; e2fsck -fy
// may replay and repair what comes out. partclone writes to a used card, e2image
// makes a new file.
func (p *peers) compare(t *testing.T, part string, want map[string]string) {
	t.Helper()
	partclone, e2image := copyByPartclone(t, part, want), copyByE2image(t, part, want)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cards++
	p.partclone.add(partclone)
	p.e2image.add(e2image)
}

func (v *verdicts) add(o verdicts) {
	v.refused += o.refused
	v.lost += o.lost
}

func copyByPartclone(t *testing.T, part string, want map[string]string) (v verdicts) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	to := fixture.Sparse(t, "partclone", partSize)
	fill(t, to, 0xa5)
	if _, code := fixture.Try(t, "partclone.ext4", "-b", "-q", "-L", log, "-s", part, "-O", to); code != 0 {
		v.refused++
		if out, code := fixture.Try(t, "partclone.ext4", "-b", "-q", "-F", "-L", log, "-s", part, "-O", to); code != 0 {
			t.Logf("partclone.ext4 --force: exit code %d\n%s", code, out)
		}
	}
	v.lost = lost(t, "partclone", to, want)
	return v
}

func copyByE2image(t *testing.T, part string, want map[string]string) (v verdicts) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "e2image")
	if out, code := fixture.Try(t, "e2image", "-ra", part, to); code != 0 {
		t.Logf("e2image -ra: exit code %d\n%s", code, out)
		v.refused++
		return v
	}
	v.lost = lost(t, "e2image", to, want)
	return v
}

// lost is 1 where a copy is not what it should be.
func lost(t *testing.T, tool, part string, want map[string]string) int {
	t.Helper()
	if _, code := fixture.Try(t, "e2fsck", "-fy", part); code > 1 {
		t.Logf("%s: e2fsck -fy: exit code %d", tool, code)
		return 1
	}
	got, err := listing(t, part, "ro")
	if err != nil {
		t.Logf("%s: %v", tool, err)
		return 1
	}
	diff := compare(want, got)
	t.Logf("%s: %d of %d files differ", tool, len(diff), len(want))
	return min(1, len(diff))
}
