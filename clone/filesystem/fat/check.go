package fat

import (
	"errors"
	"fmt"
	"math/bits"
	"path"
)

// maxProblems bounds what Check tells.
const maxProblems = 20

// Check walks through the whole file system and holds it against the rules that
// fsck.vfat has for its clusters: each belongs to one file at most, chains
// neither end early nor go on behind their file's end. leaked is how many bytes
// of clusters belong to nothing, which harms nobody. It does not replace
// fsck.vfat: names, for one, it does not judge.
func (f *FS) Check() (leaked int64, err error) {
	s, err := survey(f.volume)
	if err != nil {
		return 0, err
	}
	return s.leaked * f.cluster, errors.Join(s.problems...)
}

// A census is what survey finds: a bit a cluster.
type census struct {
	v *volume

	taken  bitset // not free by the FAT
	owned  bitset // belong to a file or folder
	shared bitset // to more than one

	free     int64 // clusters that are free by the FAT
	leaked   int64
	problems []error
}

// survey follows every chain of the file system. Its error is one of reading;
// what is wrong on the disk goes into the problems.
func survey(v *volume) (*census, error) {
	n := v.clusters + firstCluster
	s := &census{v: v, taken: newBitset(n), owned: newBitset(n), shared: newBitset(n)}
	bad := newBitset(n)
	err := v.table.each(0, func(c, value uint32) {
		switch value {
		case 0:
			s.free++
		case v.bad():
			bad.set(c)
			fallthrough
		default:
			s.taken.set(c)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := s.folders(); err != nil {
		return nil, err
	}
	for i := range s.taken {
		s.leaked += int64(bits.OnesCount64(s.taken[i] &^ s.owned[i] &^ bad[i]))
	}
	return s, nil
}

func (s *census) problem(name, format string, args ...any) {
	if len(s.problems) < maxProblems {
		s.problems = append(s.problems, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
	}
}

// folders goes through all folders. One that was met before is not entered
// again.
func (s *census) folders() error {
	type todo struct {
		name  string
		start uint32
	}
	if s.v.bits == 32 {
		s.own("/", s.v.rootStart, -1)
	}
	for queue := []todo{{"/", 0}}; len(queue) > 0; {
		at := queue[0]
		queue = queue[1:]
		d, err := s.v.readDir(at.start)
		if err != nil {
			if !errors.Is(err, errChain) {
				return err
			}
			s.problem(at.name, "%w", err)
			continue
		}
		for i := range d.entries {
			e := &d.entries[i]
			name := path.Join(at.name, e.name)
			switch {
			case e.dir():
				if s.own(name, e.start, -1) {
					queue = append(queue, todo{name, e.start})
				}
			case e.size > 0 || e.start != 0:
				s.own(name, e.start, s.v.count(e.size))
			}
		}
	}
	return nil
}

// own notes who has a chain of clusters, want of them or any number where that
// is negative, and tells whether the first of them was nobody's before.
func (s *census) own(name string, start uint32, want int64) bool {
	fresh := s.v.valid(start) && !s.owned.has(start)
	n := int64(0)
	for c := start; ; n++ {
		if !s.v.valid(c) || !s.taken.has(c) {
			s.problem(name, "cluster %d: %w", c, errChain)
			if s.v.valid(c) {
				s.owned.set(c) // free by the FAT, and yet nothing to write to
			}
			return fresh
		}
		if s.owned.has(c) {
			s.shared.set(c)
			s.problem(name, "cluster %d belongs to another file or comes twice: %w", c, errChain)
			return fresh
		}
		s.owned.set(c)
		next, err := s.v.table.get(c)
		if err != nil {
			s.problem(name, "%w", err)
			return fresh
		}
		if next >= s.v.end() {
			break
		}
		c = next
	}
	if n++; want >= 0 && n != want {
		s.problem(name, "%d clusters instead of %d: %w", n, want, errChain)
	}
	return fresh
}

// A bitset holds a bit for each cluster.
type bitset []uint64

func newBitset(n int64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) set(c uint32)      { b[c/64] |= 1 << (c % 64) }
func (b bitset) clear(c uint32)    { b[c/64] &^= 1 << (c % 64) }
func (b bitset) has(c uint32) bool { return b[c/64]>>(c%64)&1 != 0 }
