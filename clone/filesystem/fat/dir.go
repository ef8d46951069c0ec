package fat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"lifeboat/clone/extent"
)

// maxDir is the largest directory, in bytes: Linux v6.12, fs/fat/fat.h,
// FAT_MAX_DIR_SIZE.
const maxDir = 2 << 20

// maxDepth bounds how many folders a path goes through.
const maxDepth = 128

var errTwice = errors.New("two folders have the same clusters; fsck.vfat repairs it")

// A volume is what the reader and the editor share.
type volume struct {
	*geometry
	r     io.ReaderAt
	table *table
	known *known // nil for an editor
}

func newVolume(g *geometry, r io.ReaderAt, w io.WriterAt) *volume {
	return &volume{g, r, &table{g: g, r: r, w: w, pages: map[int64]*page{}}, nil}
}

// maxKnown is how many directories a reader remembers: files are often opened
// one after the other in the same few.
const maxKnown = 4

type known struct {
	mu   sync.Mutex
	dirs []*dir // the oldest first
}

// recall is readDir, out of memory if possible. What it returns is not to be
// changed.
func (v *volume) recall(start uint32) (*dir, error) {
	if v.known == nil {
		return v.readDir(start)
	}
	v.known.mu.Lock()
	defer v.known.mu.Unlock()
	for _, d := range v.known.dirs {
		if d.start == start {
			return d, nil
		}
	}
	d, err := v.readDir(start)
	if err != nil {
		return nil, err
	}
	if len(v.known.dirs) == maxKnown {
		v.known.dirs = v.known.dirs[1:]
	}
	v.known.dirs = append(v.known.dirs, d)
	return d, nil
}

// root is the entry that the root directory would have.
func root() *entry { return &entry{name: ".", attr: attrDir} }

// A dir is a directory in memory.
type dir struct {
	start   uint32 // 0 = the root
	pieces  []piece
	raw     []byte
	end     int    // the first slot of those that were never used
	used    []bool // slots before end that belong to something
	label   int    // slot of the volume's label, -1 = none
	entries []entry

	once  sync.Once
	index map[string]int // by folded name
}

// readDir reads the directory that begins at cluster start, 0 for the root.
func (v *volume) readDir(start uint32) (*dir, error) {
	d := &dir{start: start, pieces: []piece{{0, extent.Extent{Off: v.rootOff, Len: v.rootLen}}}}
	if start != 0 || v.bits == 32 {
		first := start
		if start == 0 {
			first = v.rootStart
		}
		var err error
		if d.pieces, err = v.table.chain(first, -1, max(1, maxDir/v.cluster)); err != nil {
			return nil, err
		}
	}
	for _, p := range d.pieces {
		d.raw = append(d.raw, make([]byte, p.Len)...)
		if err := readFull(v.r, d.raw[p.At:], p.Off); err != nil {
			return nil, fmt.Errorf("directory at %d: %w", p.Off, err)
		}
	}
	d.parse(v.bits)
	return d, nil
}

// slots is how many slots the directory has room for.
func (d *dir) slots() int { return len(d.raw) / slotSize }

func (d *dir) slot(i int) []byte { return d.raw[i*slotSize : (i+1)*slotSize] }

// parse finds the entries in the slots. Those of a long name whose alias was
// not written, or is gone, belong to nothing.
func (d *dir) parse(bits int) {
	d.entries, d.label, d.used = nil, -1, make([]bool, d.slots())
	var long longReader
	for d.end = 0; d.end < d.slots(); d.end++ {
		b := d.slot(d.end)
		switch {
		case b[0] == slotEnd:
			return
		case b[0] == slotFree:
			long.n = 0
			continue
		case b[offAttr]&attrLongMask == attrLong:
			long.add(b, d.end)
			continue
		}
		d.used[d.end] = true
		switch {
		case b[offAttr]&attrLabel != 0:
			if d.label < 0 && b[offAttr]&attrDir == 0 {
				d.label = d.end
			}
			long.n = 0
			continue
		case isDots(b):
			long.n = 0
			continue
		}
		e := decodeSlot(b, bits)
		e.first, e.last = d.end, d.end
		long.take(&e)
		for i := e.first; i < e.last; i++ {
			d.used[i] = true
		}
		d.entries = append(d.entries, e)
	}
}

// isDots tells whether the slot is the folder itself or its parent.
func isDots(b []byte) bool {
	name := string(b[:11])
	return name == ".          " || name == "..         "
}

// find is the entry that name means, nil if there is none. A long name goes
// before an alias, and the first of equal ones before the rest.
func (d *dir) find(name string) *entry {
	d.once.Do(func() {
		d.index = make(map[string]int, len(d.entries))
		add := func(name string, i int) {
			if _, ok := d.index[fold(name)]; !ok {
				d.index[fold(name)] = i
			}
		}
		for i := range d.entries {
			add(d.entries[i].name, i)
		}
		for i := range d.entries {
			add(d.entries[i].alias.name(0), i)
		}
	})
	if i, ok := d.index[fold(name)]; ok {
		return &d.entries[i]
	}
	return nil
}

// walk goes down a path from the root. Each folder on the way is read, and
// shown to visit (which may be nil) with its entry before that. The last
// component is not read: its entry comes back with the directory that holds it,
// which is nil for the root.
func (v *volume) walk(name string, visit func(in *dir, e *entry) error) (*dir, *entry, error) {
	if !fs.ValidPath(name) {
		return nil, nil, fs.ErrInvalid
	}
	var in *dir
	at := root()
	if name == "." {
		return nil, at, nil
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return nil, nil, fmt.Errorf("more than %d folders deep: %w", maxDepth, fs.ErrInvalid)
	}
	for _, part := range parts {
		if !at.dir() {
			return nil, nil, fs.ErrNotExist
		}
		var err error
		if in, err = v.enter(in, at, visit); err != nil {
			return nil, nil, err
		}
		if at = in.find(part); at == nil {
			return in, nil, fs.ErrNotExist
		}
	}
	return in, at, nil
}

// enter reads the folder of an entry in a directory.
func (v *volume) enter(in *dir, e *entry, visit func(in *dir, e *entry) error) (*dir, error) {
	if in == nil {
		return v.recall(0)
	}
	if !v.valid(e.start) || e.start == v.rootStart {
		return nil, fmt.Errorf("folder %q at cluster %d: %w", e.name, e.start, errChain)
	}
	if visit != nil {
		if err := visit(in, e); err != nil {
			return nil, err
		}
	}
	return v.recall(e.start)
}

// content is where the bytes of a file lie.
func (v *volume) content(e *entry) ([]piece, error) {
	if e.size == 0 {
		return nil, nil
	}
	pieces, err := v.table.chain(e.start, v.count(e.size), v.clusters)
	if err != nil || len(pieces) == 1 {
		return pieces, err
	}
	// chain looks for rings now and then; here none may hide behind the size
	all := make([]extent.Extent, len(pieces))
	for i, p := range pieces {
		all[i] = p.Extent
	}
	last := pieces[len(pieces)-1]
	if extent.Of(all...).Bytes() != last.At+last.Len {
		return nil, fmt.Errorf("a cluster comes twice: %w", errChain)
	}
	return pieces, nil
}

// count is how many clusters n bytes take.
func (g *geometry) count(n int64) int64 { return (n + g.cluster - 1) / g.cluster }
