package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Claim makes a target of the disk that f describes, or says why not. In this
// order:
//
//   - It looks again: what is there now must be what was shown (*ChangedError).
//   - Nobody may use it, and the backup may not be read from it (from): an
//     *InUseError. It must have a medium and be writable (*NoMediumError,
//     *ReadOnlyError), and its word must mean it alone (*SameWordError).
//   - It is opened exclusively, which the kernel refuses where it is mounted in
//     any name space, and held against f by its device number and sequence. The
//     boot areas of an eMMC are held along with it.
//   - consent is asked; none given, or nil for a disk, is ErrNoConsent. Files
//     need none.
//   - After the answer, which may have taken an hour, its content is held
//     against f once more.
//
// Nothing was written when Claim returns. The caller closes the target.
func Claim(ctx context.Context, sys *Sys, f Facts, consent Consent, from ...Facts) (*Target, error) {
	if err := sys.mayClaim(f, from); err != nil {
		return nil, fmt.Errorf("claim %s: %w", f.Disk.Path, err)
	}
	h, err := openExclusive(f)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", f.Disk.Path, err)
	}
	t := &Target{handle: h, sys: sys, facts: f}
	err = pin(h, f)
	if err == nil {
		err = t.holdAreas()
	}
	if err == nil && h.disk {
		err = ask(ctx, consent, f)
	}
	if err == nil {
		err = t.holdsStill()
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", f.Disk.Path, errors.Join(err, t.Close()))
	}
	return t, nil
}

func (s *Sys) mayClaim(f Facts, from []Facts) error {
	now, err := s.Look(f.Disk.Path)
	if err != nil {
		return err
	}
	if err := compare(f, now); err != nil {
		return err
	}
	users := slices.Concat(f.Users, now.Users)
	for _, src := range from {
		if same(src, f) {
			users = append(users, Use{f.Disk.Path, "is what the backup is read from"})
		}
	}
	switch {
	case len(users) > 0:
		return &InUseError{f.Disk.Path, unique(users)}
	case f.File:
		return nil
	case now.Disk.Size == 0:
		return &NoMediumError{f.Disk.Path}
	case now.Disk.ReadOnly:
		return &ReadOnlyError{f.Disk.Path}
	}
	return s.oneWord(now)
}

// same tells whether two looks were at the same disk or file.
func same(a, b Facts) bool {
	if a.File != b.File {
		return false
	}
	if a.File {
		return a.ino == b.ino
	}
	return a.Disk.Major == b.Disk.Major && a.Disk.Minor == b.Disk.Minor
}

// compare holds what is there now against what was shown.
func compare(was, is Facts) error {
	number := func(d Disk) string { return Number{d.Major, d.Minor}.String() }
	kind := func(f Facts) string {
		if f.File {
			return "image file"
		}
		return "disk"
	}
	for _, c := range []struct{ what, was, is string }{
		{"kind", kind(was), kind(is)},
		{"device number", number(was.Disk), number(is.Disk)},
		{"inode", fmt.Sprint(was.ino), fmt.Sprint(is.ino)},
		{"model", was.Disk.Model, is.Disk.Model},
		{"serial", was.Disk.Serial, is.Disk.Serial},
		{"size", strconv.FormatInt(was.Disk.Size, 10), strconv.FormatInt(is.Disk.Size, 10)},
		{"sector size", strconv.FormatInt(was.Disk.Sector, 10), strconv.FormatInt(is.Disk.Sector, 10)},
		{"sequence number", strconv.FormatUint(was.Disk.Seq, 10), strconv.FormatUint(is.Disk.Seq, 10)},
		{"content", was.Holds, is.Holds},
	} {
		if c.was != c.is {
			return &ChangedError{was.Disk.Path, c.what, c.was, c.is}
		}
	}
	return nil
}

// oneWord makes sure that the word of f means no other disk. Only disks of the
// same model, serial and size can share it.
func (s *Sys) oneWord(f Facts) error {
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	paths := []string{f.Disk.Path}
	for _, d := range disks {
		alike := d.Model == f.Disk.Model && d.Serial == f.Disk.Serial && d.Size == f.Disk.Size
		if d.Name == f.Disk.Name || !alike {
			continue
		}
		other, err := s.Look(d.Path)
		if err != nil {
			return fmt.Errorf("is %s another such disk? %w", d.Path, err)
		}
		if other.Word == f.Word {
			paths = append(paths, d.Path)
		}
	}
	if len(paths) > 1 {
		return &SameWordError{f.Word, paths}
	}
	return nil
}

// heldUnseen is how a disk is used when only the kernel knows more.
const heldUnseen = "is held by another program, or mounted where this one cannot see it"

// openExclusive opens the disk so that nobody can mount it meanwhile. On a file
// O_EXCL has no meaning; it is locked against another lifeboat instead.
func openExclusive(f Facts) (*handle, error) {
	flags := os.O_RDWR
	if !f.File {
		flags |= os.O_EXCL
	}
	h, err := openHandle(f.Disk.Path, flags)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, &InUseError{f.Disk.Path, []Use{{f.Disk.Path, heldUnseen}}}
	case errors.Is(err, unix.EROFS), !f.File && errors.Is(err, unix.EACCES) && os.Geteuid() == 0:
		return nil, &ReadOnlyError{f.Disk.Path}
	case errors.Is(err, unix.ENOMEDIUM):
		return nil, &NoMediumError{f.Disk.Path}
	case err != nil:
		return nil, err
	}
	if f.File {
		if err := lock(h.cached); err != nil {
			use := Use{f.Disk.Path, "is locked by another program"}
			return nil, errors.Join(&InUseError{f.Disk.Path, []Use{use}}, h.Close())
		}
	}
	return h, nil
}

// pin holds the open descriptor against what was shown: from here on names do
// not matter.
func pin(h *handle, f Facts) error {
	info, err := h.any().Stat()
	if err != nil {
		return err
	}
	st := statOf(info)
	open := Number{unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))}
	shown := Number{f.Disk.Major, f.Disk.Minor}
	switch {
	case f.File && idOf(info) != f.ino:
		return &ChangedError{f.Disk.Path, "inode", fmt.Sprint(f.ino), fmt.Sprint(idOf(info))}
	case h.size != f.Disk.Size:
		return &ChangedError{f.Disk.Path, "size", strconv.FormatInt(f.Disk.Size, 10), strconv.FormatInt(h.size, 10)}
	case f.File:
		return nil
	case open != shown:
		return &ChangedError{f.Disk.Path, "device number", shown.String(), open.String()}
	}
	if seq, err := blockSeq(h.any()); err == nil && f.Disk.Seq != 0 && seq != f.Disk.Seq {
		return &ChangedError{f.Disk.Path, "sequence number", strconv.FormatUint(f.Disk.Seq, 10), strconv.FormatUint(seq, 10)}
	}
	return nil
}

func ask(ctx context.Context, consent Consent, f Facts) error {
	if consent == nil {
		return ErrNoConsent
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return consent(ctx, f)
}

// holdsStill looks, through the claimed descriptor, whether the disk still holds
// what was shown.
func (t *Target) holdsStill() error {
	now, err := holds(t.handle, t.size, t.facts.Disk.Sector)
	if err != nil {
		return err
	}
	if now != t.facts.Holds {
		return &ChangedError{t.facts.Disk.Path, "content", t.facts.Holds, now}
	}
	return pin(t.handle, t.facts)
}
