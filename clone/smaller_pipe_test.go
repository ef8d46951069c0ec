package clone_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone"
	"lifeboat/internal/fixture"
)

// TestSmallerFromPipe brings a card that comes out of a pipe to a smaller one. More
// lies before its last part than is always kept: with little memory it is refused
// before the first write.
func TestSmallerFromPipe(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	card := scattered(t)
	noise := filepath.Join(t.TempDir(), "noise")
	b := make([]byte, 18<<20)
	rand.Read(b)
	if err := os.WriteFile(noise, b[:15<<20], 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "mcopy", "-i", card+"@@4M", noise, "::")
	if err := os.WriteFile(noise, b[15<<20:], 0o600); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "dd", "if="+noise, "of="+card, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	poison(t, card)
	want := trees(t, card, 2)
	for name, most := range map[string]int64{"enough": 64 << 20, "little": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(card)
			if err != nil {
				t.Fatal(err)
			}
			src := pipe(t, file)
			head, err := clone.Probe(t.Context(), src)
			if err != nil {
				t.Fatal(err)
			}
			s := squeezing{src: src, look: src, head: head, most: most, to: fill(t, 100<<20), logf: t.Logf}
			_, report, err := s.run(t.Context(), t)
			if most == 0 {
				var no *clone.Refusal
				if !errors.As(err, &no) || !strings.Contains(err.Error(), "than the memory here can hold") {
					t.Errorf("got %v, want a refusal that names the memory", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s.judge(t, report, want)
		})
	}
}
