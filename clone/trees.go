package clone

import (
	"io"
	"io/fs"

	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/clone/filesystem/fat"
	"lifeboat/clone/identity"
	"lifeboat/clone/manifest"
)

// Trees are the two file trees that decide over a boot, and the numbers of
// their parts. Each may be nil.
type Trees struct {
	Boot, Root         fs.FS
	BootPart, RootPart int
}

// BootTrees finds the boot part, the first FAT, and the root part: of the others
// with an etc/fstab the one that the boot part names, else the first. What cannot
// be read is not there.
func BootTrees(r io.ReaderAt, h *manifest.Head) Trees {
	var t Trees
	roots := map[int]fs.FS{}
	for _, p := range h.Parts {
		files, err := filesystem.Files(io.NewSectionReader(r, p.Extent.Off, p.Extent.Len), p.Extent.Len, p.FS)
		if err != nil {
			continue
		}
		switch _, err := fs.Stat(files, "etc/fstab"); {
		case p.FS.Type == "vfat" && t.Boot == nil:
			t.Boot, t.BootPart = files, p.Num
		case p.FS.Type != "vfat" && err == nil:
			if len(roots) == 0 {
				t.RootPart = p.Num
			}
			roots[p.Num] = files
		}
	}
	if len(roots) > 1 && t.Boot != nil {
		if named, err := identity.RootOf(h, t.Boot, nil); err == nil && roots[named] != nil {
			t.RootPart = named
		}
	}
	t.Root = roots[t.RootPart]
	return t
}

// Part is the number of the part that a reference stands in: identity.Boot or
// identity.Root.
func (t Trees) Part(where string) int {
	if where == identity.Boot {
		return t.BootPart
	}
	return t.RootPart
}

// editable opens a part of the target so that its files can be edited without a
// mount; nil where no way is known.
func editable(w *disk.Window, fs manifest.FS) (identity.Files, error) {
	switch {
	case fs.Type == "vfat":
		return newFATFiles(w, w.Size())
	case filesystem.IsExt(fs.Type):
		return newExtFiles(w, w.Size())
	}
	return nil, nil
}

// fatFiles reads and edits the files of a FAT part.
type fatFiles struct {
	*fat.FS
	w    *disk.Window
	size int64
}

func newFATFiles(w *disk.Window, size int64) (*fatFiles, error) {
	files, err := fat.Open(w, size)
	return &fatFiles{files, w, size}, err
}

func (f *fatFiles) WriteFile(name string, data []byte) error {
	edit, err := fat.Edit(f.w, f.size)
	if err != nil {
		return err
	}
	if err := edit.WriteFile(name, data); err != nil {
		return err
	}
	if err := edit.Sync(); err != nil {
		return err
	}
	f.FS, err = fat.Open(f.w, f.size)
	return err
}

// extFiles reads and edits the files of an ext part without mounting it.
type extFiles struct {
	fs.FS
	w    *disk.Window
	size int64
}

func newExtFiles(w *disk.Window, size int64) (*extFiles, error) {
	ext, err := ext4.Open(w, size)
	if err != nil {
		return nil, err
	}
	return &extFiles{ext.Files(), w, size}, nil
}

func (f *extFiles) WriteFile(name string, data []byte) error {
	err := ext4.Patch(f.w, f.size, name, func([]byte) ([]byte, error) { return data, nil })
	if err != nil {
		return err
	}
	ext, err := ext4.Open(f.w, f.size)
	if err == nil {
		f.FS = ext.Files()
	}
	return err
}
