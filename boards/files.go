package boards

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxText caps what is read of a text file that somebody else wrote.
const maxText = 1 << 20

// A part is a boot part's files, found as FAT finds them: in any case of
// letters.
type part struct{ fs.FS }

// find gives the name under which a file is there. A leading '/' means the top
// of the part, as everything does.
func (p part) find(name string) (string, bool) {
	name = path.Clean(strings.TrimLeft(name, "/"))
	if !fs.ValidPath(name) {
		return "", false
	}
	if fi, err := fs.Stat(p, name); err == nil {
		return name, !fi.IsDir()
	}
	dir := "."
	words := strings.Split(name, "/")
	for i, word := range words {
		e, ok := p.entry(dir, word)
		if !ok {
			return "", false
		}
		dir = path.Join(dir, e.Name())
		if last := i == len(words)-1; last == e.IsDir() {
			return "", false
		}
	}
	return dir, true
}

func (p part) entry(dir, word string) (fs.DirEntry, bool) {
	entries, err := fs.ReadDir(p, dir)
	if err != nil {
		return nil, false
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), word) {
			return e, true
		}
	}
	return nil, false
}

func (p part) has(name string) bool {
	_, ok := p.find(name)
	return ok
}

// text reads a small file; fs.ErrNotExist where it is not there.
func (p part) text(name string) (string, error) {
	at, ok := p.find(name)
	if !ok {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	f, err := p.Open(at)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(b) > maxText {
		return "", fmt.Errorf("%s is larger than any text for a boot loader", name)
	}
	return string(b), nil
}

// Headers of kernels: Linux Documentation/arch/arm64/booting.rst (magic at 56),
// arch/arm/boot/compressed/head.S (magic at 0x24), drivers/firmware/efi/libstub/
// zboot-header.S ("zimg" at 4).
const (
	offARM64, magicARM64   = 56, "ARM\x64"
	offZImage, magicZImage = 0x24, 0x016f2818
	offZboot, magicZboot   = 4, "zimg"
	kernelHeader           = 64
)

// A Kernel is what the first bytes of a kernel file tell.
type Kernel struct {
	Bits   int    // 32 or 64; 0 = not known
	Packed string // "", "gzip", "xz", "zstd", "efi-zboot"
}

// SniffKernel reads the beginning of a kernel file, through gzip where it is
// packed so.
func SniffKernel(r io.Reader) (Kernel, error) {
	head, err := headOf(r)
	if err != nil {
		return Kernel{}, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(io.MultiReader(bytes.NewReader(head), r))
		if err != nil {
			return Kernel{}, err
		}
		inner, err := headOf(z)
		return Kernel{bitsOf(inner), "gzip"}, err
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return Kernel{Packed: "xz"}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Kernel{Packed: "zstd"}, nil
	case len(head) >= 8 && string(head[offZboot:offZboot+4]) == magicZboot:
		return Kernel{Bits: 64, Packed: "efi-zboot"}, nil
	}
	return Kernel{Bits: bitsOf(head)}, nil
}

func headOf(r io.Reader) ([]byte, error) {
	head := make([]byte, kernelHeader)
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

func bitsOf(head []byte) int {
	switch {
	case len(head) < kernelHeader:
		return 0
	case string(head[offARM64:offARM64+4]) == magicARM64:
		return 64
	case binary.LittleEndian.Uint32(head[offZImage:]) == magicZImage:
		return 32
	}
	return 0
}

// sniff is SniffKernel of a file; what cannot be read is not known.
func (p part) sniff(name string) Kernel {
	f, err := p.Open(name)
	if err != nil {
		return Kernel{}
	}
	defer f.Close()
	k, err := SniffKernel(f)
	if err != nil {
		return Kernel{}
	}
	return k
}

// head reads the first n bytes of a file.
func (p part) head(name string, n int) (string, error) {
	f, err := p.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, n)
	_, err = io.ReadFull(f, b)
	return string(b), err
}
