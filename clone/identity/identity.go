// Package identity answers: who am I at boot? A disk names its own parts in a
// handful of text files: cmdline.txt, fstab, extlinux.conf, armbianEnv.txt and
// their like. Identity finds these references, says which of them a board would
// not be able to follow, and rewrites them when IDs change.
//
// It works on trees of files and knows no disk and no file system: a mounted
// root, a FAT editor or a patcher of ext4 extents stands behind Files. What
// boot scripts (boot.scr) or a boot loader's stored environment say is out of
// its reach.
package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// A Kind is a way to name a part.
type Kind string

const (
	PartUUID  Kind = "PARTUUID"
	UUID      Kind = "UUID"
	Label     Kind = "LABEL"
	PartLabel Kind = "PARTLABEL"
	Device    Kind = "device" // /dev/mmcblk0p2: by the disk's place and the part's number
	Number    Kind = "number" // boot_partition=2
	Other     Kind = ""       // not a part, or in no form that is known here
)

// Where a file lies.
const (
	Boot = "boot"
	Root = "root"
)

// A Ref is one place in a file that names a part.
type Ref struct {
	File  string `json:"file"`  // its path in the part
	Where string `json:"where"` // Boot or Root: the tree it lies in
	Line  int    `json:"line"`  // from 1
	Use   string `json:"use"`   // "root=", "fstab /boot/firmware", "crypttab data"
	Kind  Kind   `json:"kind"`
	Value string `json:"value"` // as the file has it, without the Kind
	// Optional: the boot goes on where it cannot be followed (nofail, swap).
	Optional bool `json:"optional,omitempty"`
}

// String is the reference as the file has it.
func (r Ref) String() string {
	switch r.Kind {
	case Device, Number, Other:
		return r.Value
	}
	return string(r.Kind) + "=" + r.Value
}

// Files is a tree that can be edited. WriteFile replaces the content of a file
// that is there.
type Files interface {
	fs.FS
	WriteFile(name string, data []byte) error
}

// References finds each reference in the files that it knows, of the boot part
// and of the root. Either tree may be nil. Where there is no boot part, or none
// of the files on it, the root's folder boot stands for it.
func References(boot, root fs.FS) ([]Ref, error) {
	files, err := find(boot, root)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, f := range files {
		refs = append(refs, f.refs()...)
	}
	return refs, nil
}

// refs are the file's references.
func (f file) refs() []Ref {
	var refs []Ref
	line := 0
	for text := range strings.Lines(string(f.data)) {
		line++
		for _, r := range f.parse(strings.TrimRight(text, "\r\n")) {
			r.File, r.Where, r.Line = f.name, f.where, line
			refs = append(refs, r)
		}
	}
	return refs
}

// A parser finds the references in one line, and sets their Use, Kind, Value
// and Optional.
type parser func(line string) []Ref

// A file is one that names parts.
type file struct {
	tree  fs.FS
	where string
	name  string
	parse parser
	data  []byte
}

// maxFile bounds what is read. Such files have some hundred bytes.
const maxFile = 1 << 20

// load reads a file; ok is false where there is none.
func load(tree fs.FS, where, name string, parse parser) (f file, ok bool, err error) {
	if !fs.ValidPath(name) {
		return file{}, false, nil // "../cmdline.txt", which no firmware finds either
	}
	h, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, false, nil
	}
	if err != nil {
		return file{}, false, fmt.Errorf("%s part: %w", where, err)
	}
	defer h.Close()
	if info, err := h.Stat(); err == nil && info.IsDir() {
		return file{}, false, nil
	}
	data, err := io.ReadAll(io.LimitReader(h, maxFile+1))
	if err != nil {
		return file{}, false, fmt.Errorf("%s part: read %s: %w", where, name, err)
	}
	if len(data) > maxFile {
		return file{}, false, fmt.Errorf("%s part: %s has more than %d bytes: not a text that names parts", where, name, maxFile)
	}
	return file{tree, where, name, parse, data}, true, nil
}
