package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Tools are the programs of e2fsprogs and dosfstools that a restore starts.
func Tools() []string {
	return []string{"e2fsck", "resize2fs", "mke2fs", "tune2fs", "dumpe2fs", "fsck.fat", "mkfs.fat"}
}

// toolNames are other names of the tools, as people type them.
func toolNames() map[string]string {
	return map[string]string{
		"fsck.ext2": "e2fsck", "fsck.ext3": "e2fsck", "fsck.ext4": "e2fsck",
		"mkfs.ext2": "mke2fs", "mkfs.ext3": "mke2fs", "mkfs.ext4": "mke2fs",
		"e2label": "tune2fs", "fsck.vfat": "fsck.fat", "mkfs.vfat": "mkfs.fat",
	}
}

func programFolders() []string { return []string{"sbin", "usr/sbin", "bin", "usr/bin"} }

// triplets are the folders in which Debian keeps a machine's libraries.
func triplets(m elf.Machine) []string {
	switch m {
	case elf.EM_AARCH64:
		return []string{"aarch64-linux-gnu"}
	case elf.EM_ARM:
		return []string{"arm-linux-gnueabihf", "arm-linux-gnueabi"}
	case elf.EM_X86_64:
		return []string{"x86_64-linux-gnu"}
	}
	return nil
}

// A linker gathers programs with all libraries they need, without running
// anything of them: they may be another machine's.
type linker struct {
	// config
	fsys    fs.FS
	machine elf.Machine
	add     func(name string, data []byte) // takes a file of the image

	// state
	done map[string]bool // names in the image
}

// program adds a program and its libraries.
func (l *linker) program(name string) error {
	for _, dir := range programFolders() {
		data, err := readFile(l.fsys, path.Join(dir, name), maxFile)
		if err != nil {
			continue
		}
		if f, err := elf.NewFile(bytes.NewReader(data)); err != nil || f.Machine != l.machine {
			continue
		}
		return l.object("sbin/"+name, data)
	}
	return fmt.Errorf("program %s for %s: %w", name, l.machine, fs.ErrNotExist)
}

// object adds an ELF file under a name, and what it needs.
func (l *linker) object(name string, data []byte) error {
	if l.done[name] {
		return nil
	}
	l.done[name] = true
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.add(name, data)
	interp, err := interpreter(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if interp != "" {
		if err := l.interpreter(interp); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: its libraries: %w", name, err)
	}
	for _, lib := range libs {
		if err := l.library(lib); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// maxInterp is more than any path of a dynamic linker.
const maxInterp = 4096

// interpreter is the path of the dynamic linker; "" for a static program.
func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p.Open(), maxInterp))
		if err != nil {
			return "", fmt.Errorf("its dynamic linker: %w", err)
		}
		return strings.TrimRight(string(b), "\x00"), nil
	}
	return "", nil
}

// interpreter adds the dynamic linker at the place that programs name. It is a
// library too, which then needs no second copy.
func (l *linker) interpreter(name string) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if l.done[name] {
		return nil
	}
	data, err := readFile(l.fsys, name, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = l.find(path.Base(name))
	}
	if err != nil {
		return err
	}
	l.done["lib/"+path.Base(name)] = true
	l.done[name] = true
	l.add(name, data)
	return nil
}

func (l *linker) library(name string) error {
	if strings.Contains(name, "/") || name == "" {
		return fmt.Errorf("library %q: it is named by a path", name)
	}
	if l.done["lib/"+name] {
		return nil
	}
	data, err := l.find(name)
	if err != nil {
		return err
	}
	return l.object("lib/"+name, data)
}

// find looks for a library of the right machine where Debian's dynamic linker
// would.
func (l *linker) find(name string) ([]byte, error) {
	var dirs []string
	for _, t := range triplets(l.machine) {
		dirs = append(dirs, path.Join("lib", t), path.Join("usr/lib", t))
	}
	for _, dir := range append(dirs, "lib", "usr/lib", "lib64", "usr/lib64") {
		data, err := readFile(l.fsys, path.Join(dir, name), maxFile)
		if err != nil {
			continue
		}
		if f, err := elf.NewFile(bytes.NewReader(data)); err == nil && f.Machine == l.machine {
			return data, nil
		}
	}
	return nil, fmt.Errorf("library %s for %s: %w", name, l.machine, fs.ErrNotExist)
}
