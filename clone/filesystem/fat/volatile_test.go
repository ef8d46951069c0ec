package fat_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// volatile is a disk with a cache: when power fails at write number fail, of
// the writes since the last Sync any may have reached the disk, and others not.
type volatile struct {
	memory
	durable []byte
	pending []pendingWrite
}

type pendingWrite struct {
	off int64
	b   []byte
}

func (v *volatile) WriteAt(b []byte, off int64) (int, error) {
	n, err := v.memory.WriteAt(b, off)
	if err == nil {
		v.pending = append(v.pending, pendingWrite{off, slices.Clone(b)})
	}
	return n, err
}

func (v *volatile) Sync() error {
	if v.fail >= 0 && v.writes > v.fail {
		return errPower
	}
	v.durable, v.pending = slices.Clone(v.b), nil
	return nil
}

// cut is what the disk holds after the power cut: of each write that was not
// synced, sector by sector, chance decides.
func (v *volatile) cut(rnd *rand.Rand) []byte {
	b := slices.Clone(v.durable)
	for _, w := range v.pending {
		for at := 0; at < len(w.b); at += 512 {
			if rnd.IntN(2) == 0 {
				copy(b[w.off+int64(at):], w.b[at:min(at+512, len(w.b))])
			}
		}
	}
	return b
}

// Also where a disk writes in another order than it was told, files are old or
// new, and those that were not meant are as they were.
func TestPowerCutReordered(t *testing.T) {
	t.Parallel()
	base := furnished(t, kind{"fat16", 3 << 20, []string{"-F", "16", "-s", "1"}})
	size := int64(len(base))
	before := tree(t, edit(t, disk(base), size).FS())
	for _, c := range changes() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			after := maps.Clone(before)
			c.want(after)
			rnd := rand.New(rand.NewPCG(3, 4))
			for n, done := 0, false; !done; n++ {
				v := &volatile{memory: *disk(base), durable: base}
				v.fail = n
				e := edit(t, v, size)
				err := errors.Join(c.do(e), e.Close())
				if done = err == nil; !done && !errors.Is(err, errPower) {
					t.Fatalf("write %d: %v", n, err)
				}
				for range 4 {
					when := fmt.Sprintf("write %d of %.60s", n, c.name)
					b := v.cut(rnd)
					fs := edit(t, disk(b), size).FS()
					oldOrNew(t, when, tree(t, fs), before, after)
					if _, err := fs.Check(); err != nil {
						t.Errorf("%s: Check: %v", when, err)
					}
				}
				if done && !maps.Equal(tree(t, edit(t, disk(v.durable), size).FS()), after) {
					t.Error("not all was synced at the end")
				}
			}
		})
	}
	if !strings.Contains(fmt.Sprint(before), "PARTUUID") {
		t.Error("the files are not there")
	}
}
