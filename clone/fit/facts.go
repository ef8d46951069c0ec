package fit

import (
	"errors"
	"io"
	"slices"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
)

// Facts are what is known of a file system before it becomes smaller. Used is nil
// where it will be learned from the stream.
type Facts struct {
	Block  int64 // size of a block, bytes
	Size   int64 // of the file system, bytes
	Used   extent.Set
	Tables extent.Set // bitmaps, inode tables, copies of superblock and descriptors
	Dirty  bool       // its journal must be replayed: Used holds more than there will be

	geo        ext4.Geometry
	groups     []ext4.Group
	usedInodes int64
	free       int64 // bytes
	super      []byte
}

// Survey reads the facts from a part of size bytes. *RefusedError means that
// resize2fs would not make it smaller, or that it is not certain what is in use;
// all other errors are the reader's.
func Survey(r io.ReaderAt, size int64) (*Facts, error) {
	f, _, err := survey(r, size)
	return f, err
}

// survey is Survey, and the file system that it read.
func survey(r io.ReaderAt, size int64) (*Facts, *ext4.FS, error) {
	fs, err := ext4.Open(r, size)
	if err != nil {
		return nil, nil, refusal(err)
	}
	f, err := newFacts(fs)
	if err != nil {
		return nil, nil, err
	}
	used, err := fs.Used()
	if err == nil {
		err = f.learnGroups(fs)
	}
	if err != nil {
		return nil, nil, refusal(err)
	}
	f.Used = used.Align(f.Block, f.Size)
	return f, fs, nil
}

// newFacts are those that the superblock tells.
func newFacts(fs *ext4.FS) (*Facts, error) {
	s := fs.Super()
	if err := refuse(s); err != nil {
		return nil, err
	}
	geo, err := fs.Geometry()
	if err != nil {
		return nil, refusal(err)
	}
	if geo.Blocks*geo.Block != s.Size {
		return nil, &RefusedError{Damaged, "its journal gives it another size"}
	}
	return &Facts{
		Block: s.Block, Size: s.Size, Dirty: s.Dirty,
		geo: geo, usedInodes: s.Inodes - s.FreeInodes, free: s.Free, super: fs.Superblock(),
	}, nil
}

// learnGroups completes the facts with what the descriptors tell.
func (f *Facts) learnGroups(fs *ext4.FS) (err error) {
	if f.groups, err = fs.Groups(); err == nil {
		f.Tables = f.geo.Tables(f.groups)
	}
	return err
}

// refuse is a *RefusedError where a superblock says what resize2fs does not make
// smaller.
func refuse(s ext4.Super) error {
	switch {
	case slices.Contains(s.Features, "stable_inodes"):
		return &RefusedError{StableInodes, "its feature stable_inodes forbids new inode numbers: its encrypted files need theirs"}
	case s.ExternalJournal:
		return &RefusedError{ExternalJournal, "its journal lies on another disk"}
	}
	return nil
}

// refusal is a *RefusedError where err says that there is no file system, or that
// it is not certain what it uses.
func refusal(err error) error {
	var doubt *ext4.UnsureError
	switch {
	case errors.As(err, &doubt):
		return &RefusedError{Damaged, doubt.Why}
	case errors.Is(err, ext4.ErrNotExt):
		return &RefusedError{Damaged, err.Error()}
	}
	return err
}

// Moving are the facts of a file system that changes while it is read: what is in
// use is learned from the stream, all of which counts but zeros.
func (f *Facts) Moving() *Facts {
	moving := *f
	moving.Used, moving.Dirty = nil, true
	moving.free = max(0, f.Size-f.Used.Bytes())
	return &moving
}

// clusterTables are the tables, widened to whole clusters: resize2fs takes a
// cluster with any table in it for one.
func (f *Facts) clusterTables() extent.Set {
	return f.Tables.Align(f.geo.ClusterBlocks*f.Block, f.Size)
}
