package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Directory entry: Linux v6.12, fs/ext4/ext4.h, struct ext4_dir_entry_2.
const (
	offDirLen     = 0x4
	offDirNameLen = 0x6
	offDirType    = 0x7
	dirHeader     = 8

	inlineDirParent = 4 // bytes before the first entry of a directory in its inode

	maxDirEntries = 1 << 20
	dirReadSize   = 256 << 10
)

var errEncrypted = errors.New("it is encrypted")

// An entry is one name of a directory. kind is 0 where the file system does not
// say it.
type entry struct {
	name string
	num  uint32
	kind uint8
}

// dirTypes turns an entry's kind into Go's mode.
var dirTypes = [...]fs.FileMode{
	1: 0, 2: fs.ModeDir, 3: fs.ModeDevice | fs.ModeCharDevice, 4: fs.ModeDevice,
	5: fs.ModeNamedPipe, 6: fs.ModeSocket, 7: fs.ModeSymlink,
}

// entries reads a directory, sorted by name, without "." and "..". The blocks of
// a directory with an index look like empty ones where the index is.
func (v *view) entries(in *inode) ([]entry, error) {
	if in.flags&flagEncrypt != 0 {
		return nil, errEncrypted
	}
	var all []entry
	var err error
	if in.flags&flagInlineData != 0 {
		all, err = v.inlineEntries(in)
	} else {
		all, err = v.blockEntries(in)
	}
	if err != nil {
		return nil, fmt.Errorf("directory in inode %d: %w", in.num, err)
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

func (v *view) blockEntries(in *inode) ([]entry, error) {
	m, err := v.mapping(in)
	if err != nil {
		return nil, err
	}
	bs := v.sb.block
	if m.blocks() > v.sb.blocks {
		return nil, errors.New("it has more blocks than the file system")
	}
	buf := make([]byte, max(bs, dirReadSize))
	var all []entry
	for _, r := range m.runs {
		end := min((r.at+r.count)*bs, (in.size+bs-1)/bs*bs)
		for off := r.at * bs; off < end; {
			p := buf[:min(int64(len(buf)), end-off)]
			if err := m.read(p, off); err != nil {
				return nil, err
			}
			off += int64(len(p))
			for ; len(p) > 0; p = p[bs:] {
				if all, err = v.parseEntries(all, p[:bs]); err != nil {
					return nil, err
				}
			}
		}
	}
	return all, nil
}

func (v *view) inlineEntries(in *inode) ([]entry, error) {
	head, tail, err := in.inline()
	if err != nil {
		return nil, err
	}
	all, err := v.parseEntries(nil, head[min(inlineDirParent, len(head)):])
	if err != nil {
		return nil, err
	}
	return v.parseEntries(all, tail)
}

// parseEntries appends the entries of one block.
func (v *view) parseEntries(all []entry, b []byte) ([]entry, error) {
	le := binary.LittleEndian
	for len(b) >= dirHeader {
		size := int(le.Uint16(b[offDirLen:]))
		if v.sb.block == 64<<10 && (size == 0 || size == 0xffff) {
			size = 64 << 10 // EXT4_MAX_REC_LEN
		}
		n := int(b[offDirNameLen])
		if size < dirHeader+n || size > len(b) || size%4 != 0 {
			return nil, errors.New("its entries are damaged")
		}
		e := entry{name: string(b[dirHeader : dirHeader+n]), num: le.Uint32(b)}
		if v.sb.incompat&incompatFileType != 0 && int(b[offDirType]) < len(dirTypes) {
			e.kind = b[offDirType]
		}
		b = b[size:]
		if e.num == 0 || e.name == "." || e.name == ".." {
			continue
		}
		if n == 0 || strings.ContainsAny(e.name, "/\x00") {
			return nil, fmt.Errorf("it holds the name %q", e.name)
		}
		if len(all) >= maxDirEntries {
			return nil, fmt.Errorf("it holds more than %d names", maxDirEntries)
		}
		all = append(all, e)
	}
	return all, nil
}

// Attributes in the inode: Linux v6.12, fs/ext4/xattr.h.
const (
	xattrMagic       = 0xea020000
	xattrEntry       = 16
	offXattrIndex    = 1
	offXattrValue    = 2
	offXattrSize     = 8
	xattrIndexSystem = 7 // system.*
)

// inline is the content of a file that lies in its inode: in the place of the
// block map, and behind it in an attribute named system.data.
func (in *inode) inline() (head, tail []byte, err error) {
	damaged := errors.New("its inline data are damaged")
	head = in.iblock()[:min(in.size, iblockSize)]
	le := binary.LittleEndian
	off := oldInodeSize + in.extraSize()
	if off+4 > int64(len(in.raw)) || le.Uint32(in.raw[off:]) != xattrMagic {
		return head, nil, checkInline(in.size, 0, damaged)
	}
	values := in.raw[off+4:]
	for e := values; len(e) >= xattrEntry && le.Uint32(e) != 0; {
		n := int(e[0])
		if xattrEntry+n > len(e) {
			return nil, nil, damaged
		}
		if e[offXattrIndex] == xattrIndexSystem && bytes.Equal(e[xattrEntry:xattrEntry+n], []byte("data")) {
			at, size := int64(le.Uint16(e[offXattrValue:])), int64(le.Uint32(e[offXattrSize:]))
			if at+size > int64(len(values)) {
				return nil, nil, damaged
			}
			return head, values[at : at+size], checkInline(in.size, size, damaged)
		}
		e = e[min(len(e), (xattrEntry+n+3)&^3):]
	}
	return head, nil, checkInline(in.size, 0, damaged)
}

// checkInline returns damaged where tail bytes cannot complete a file of size.
func checkInline(size, tail int64, damaged error) error {
	if size > iblockSize+tail {
		return damaged
	}
	return nil
}

// inlineFile is the whole content of a file that lies in its inode.
func (in *inode) inlineFile() ([]byte, error) {
	head, tail, err := in.inline()
	if err != nil {
		return nil, err
	}
	return append(bytes.Clone(head), tail[:max(0, in.size-iblockSize)]...), nil
}
