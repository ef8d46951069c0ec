package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lifeboat/clone/manifest"
)

// Tools call the programs that know a file system best: those of e2fsprogs and
// dosfstools. Paths are devices (a loop over a target's window) or files that
// hold one file system and nothing else.
type Tools struct {
	// Run starts a program and waits for it. An error means that it could not be
	// started or was ended by ctx; output is both of its streams, or their end.
	Run func(ctx context.Context, name string, args ...string) (output []byte, code int, err error)
}

// Exit codes of e2fsck(8) and fsck.vfat(8).
const (
	fsckFixed  = 1
	fsckReboot = 2 // run it again
)

// Check makes the file system at path clean: it replays the journal and repairs
// what a crash left. It returns nil for a type that has no program here.
func (t Tools) Check(ctx context.Context, fs manifest.FS, path string) error {
	switch {
	case IsExt(fs.Type):
		return t.checkExt(ctx, path)
	case fs.Type == typeVFAT:
		return t.checkFAT(ctx, path)
	}
	return nil
}

// Programs are those that Tools call for a type of file system. "" stands for
// one that is not known yet, which may turn out to be ext.
func Programs(fsType string) []string {
	switch {
	case fsType == "" || IsExt(fsType):
		return []string{"e2fsck", "resize2fs", "tune2fs"}
	case fsType == "vfat":
		return []string{"fsck.vfat"}
	}
	return nil
}

// Clean tells whether the checker has nothing to repair at path, and writes
// nothing; false where only Check can say. Check dates a file system even where
// it repairs nothing.
func (t Tools) Clean(ctx context.Context, fs manifest.FS, path string) (bool, error) {
	if !IsExt(fs.Type) || fs.Dirty {
		return false, nil
	}
	_, code, err := t.Run(ctx, "e2fsck", "-f", "-n", path)
	if err != nil {
		return false, fmt.Errorf("e2fsck -f -n %s: %w", path, err)
	}
	return code == 0, nil
}

func (t Tools) checkExt(ctx context.Context, path string) error {
	if err := beforeFsck(path); err != nil {
		return err
	}
	args := []string{"-f", "-y", path}
	out, code, err := t.Run(ctx, "e2fsck", args...)
	if err == nil && code&^fsckFixed == fsckReboot {
		out, code, err = t.Run(ctx, "e2fsck", args...)
	}
	return failure("e2fsck", args, out, code, err, 0, fsckFixed)
}

// checkFAT repairs, and then looks again: fsck.vfat -a leaves what it will not
// decide alone.
func (t Tools) checkFAT(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, fatPatience, errEndless)
	defer cancel()
	if err := t.fsckVFAT(ctx, "-a", path, 0, fsckFixed); err != nil {
		return err
	}
	return t.fsckVFAT(ctx, "-n", path, 0)
}

// fatPatience is how long fsck.vfat may take: dosfstools 4.2 never ends on some
// tables.
const fatPatience = 15 * time.Minute

var errEndless = fmt.Errorf("it did not end within %v: its table is damaged", fatPatience)

func (t Tools) fsckVFAT(ctx context.Context, option, path string, good ...int) error {
	out, code, err := t.Run(ctx, "fsck.vfat", option, path)
	if err != nil && context.Cause(ctx) == errEndless {
		err = errEndless
	}
	return failure("fsck.vfat", []string{option, path}, out, code, err, good...)
}

// CanGrow tells whether Grow works on this type.
func CanGrow(fs manifest.FS) bool { return IsExt(fs.Type) }

// Grow makes the file system at path as large as its part, size bytes. It wants
// a Check before it. Never give it a file that is larger than size: resize2fs
// cuts off a plain file behind the file system. One with clusters (bigalloc),
// which resize2fs refuses, is grown by the kernel; ErrNotGrown where that may not
// be.
func (t Tools) Grow(ctx context.Context, fs manifest.FS, path string, size int64) error {
	if !CanGrow(fs) {
		return fmt.Errorf("grow %s: there is no way to grow %s", path, fs.Type)
	}
	if s, ok := superOf(path); ok && slices.Contains(s.Features, "bigalloc") {
		return growByKernel(path, fs, size)
	}
	args := []string{path, strconv.FormatInt(size/1024, 10) + "K"}
	if fs.Block > 0 {
		args[1] = strconv.FormatInt(size/fs.Block, 10) // blocks
	}
	out, code, err := t.Run(ctx, "resize2fs", args...)
	return failure("resize2fs", args, out, code, err, 0)
}

// NewUUID gives the file system at path another UUID; of vfat it is the serial
// number, "ABCD-1234".
func (t Tools) NewUUID(ctx context.Context, fs manifest.FS, path, uuid string) error {
	switch {
	case IsExt(fs.Type):
		return t.newExtUUID(ctx, fs, path, uuid)
	case fs.Type == typeVFAT:
		args := []string{"-i", path, strings.ReplaceAll(uuid, "-", "")}
		out, code, err := t.Run(ctx, "fatlabel", args...)
		return failure("fatlabel", args, out, code, err, 0)
	}
	return fmt.Errorf("new UUID for %s: there is no way to change that of %s", path, fs.Type)
}

// newExtUUID checks the file system and tries again where tune2fs wants that: it
// has to write all checksums anew if they grew from the old UUID.
func (t Tools) newExtUUID(ctx context.Context, fs manifest.FS, path, uuid string) error {
	if err := beforeFsck(path); err != nil {
		return err
	}
	args := []string{"-U", uuid, path}
	out, code, err := t.Run(ctx, "tune2fs", args...)
	if err == nil && code != 0 && bytes.Contains(out, []byte("e2fsck")) {
		if err := t.Check(ctx, fs, path); err != nil {
			return err
		}
		out, code, err = t.Run(ctx, "tune2fs", args...)
	}
	return failure("tune2fs", args, out, code, err, 0)
}

// failure makes an error with the program's last words, unless its exit code is
// one of good.
func failure(name string, args []string, out []byte, code int, err error, good ...int) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	for _, g := range good {
		if code == g {
			return nil
		}
	}
	return fmt.Errorf("%s %s: exit code %d: %w", name, strings.Join(args, " "), code, lastWords(out))
}

// lastWords are the last lines that a program printed, as one.
func lastWords(out []byte) error {
	const lines = 4
	var words []string
	for line := range strings.Lines(string(out)) {
		// e2fsck draws its progress with backspaces and carriage returns.
		line = strings.TrimSpace(line)
		if line = strings.TrimSpace(line[strings.LastIndexAny(line, "\r\b")+1:]); line != "" {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return errors.New("it said nothing")
	}
	return errors.New(strings.Join(words[max(0, len(words)-lines):], "; "))
}
