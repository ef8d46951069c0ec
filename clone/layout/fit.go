package layout

import (
	"fmt"
	"maps"
	"slices"

	"lifeboat/clone/manifest"
)

const (
	moveAlign = 4 << 20 // what moves begins at a multiple: the erase blocks of cards
	growAlign = 1 << 20 // what grows to the end of a disk ends at one
)

// Options say how a table may change to fit a disk of another size.
type Options struct {
	Grow  int           // the part that takes the room, or gives it; 0 = none
	Sizes map[int]int64 // parts that are to have another size, in bytes; they come before Grow
	Min   map[int]int64 // the smallest size of the part Grow; without it, it is not made smaller
	Slide []int         // parts that may move, because what they hold is made anew or copied there
}

// A TooSmallError says how many bytes a disk lacks.
type TooSmallError struct{ Missing int64 }

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("%d bytes are missing", e.Missing)
}

// Fit lays the parts of t out on a disk of size bytes with sectors of sector
// bytes. Numbers, IDs and types stay. Parts keep their place and size, but for
// what o allows; an extended part follows those that it holds. Where they do
// not fit, the error is a *TooSmallError.
//
// A table of kind NoTable stays as it is: only its content knows whether it
// fits.
func Fit(t manifest.Table, size, sector int64, o Options) (manifest.Table, error) {
	if t.Kind == manifest.NoTable {
		return t, nil
	}
	if err := check(t, 0, sector); err != nil {
		return manifest.Table{}, err
	}
	if err := checkOptions(t, o); err != nil {
		return manifest.Table{}, err
	}
	f := newFitter(t, size, sector, o)
	if err := f.layOut(); err != nil {
		return manifest.Table{}, err
	}
	if err := f.growAndSlide(); err != nil {
		return manifest.Table{}, err
	}
	return f.table(t)
}

func checkOptions(t manifest.Table, o Options) error {
	nums := slices.Collect(maps.Keys(o.Sizes))
	if o.Grow != 0 {
		nums = append(nums, o.Grow)
	}
	for _, num := range nums {
		i := slices.IndexFunc(t.Entries, func(e manifest.Entry) bool { return e.Num == num })
		if i < 0 {
			return fmt.Errorf("part %d is to have another size, and is not in the table", num)
		}
		if t.Entries[i].Extended {
			return fmt.Errorf("part %d is extended: it has the size of what it holds", num)
		}
	}
	return nil
}

// Last is the number of the last part that could grow: it is not extended, and
// nothing lies behind it but parts that may slide. 0 = there is none.
func Last(t manifest.Table, slide []int) int {
	places := byPlace(t.Entries)
	for _, e := range slices.Backward(places) {
		if !e.Extended && !slices.Contains(slide, e.Num) {
			return e.Num
		}
	}
	return 0
}
