package fit

import (
	"context"
	"fmt"
	"os"
	"strings"

	"lifeboat/clone/filesystem/ext4"
)

// A Reason is why a file system is not made smaller.
type Reason string

const (
	Damaged         Reason = "damaged"
	StableInodes    Reason = "stable_inodes"
	ExternalJournal Reason = "external journal"
	UnknownFeature  Reason = "unknown feature"
	Scattered       Reason = "scattered" // it can be made smaller from a source that can be read at any place
)

// A RefusedError says, before a byte is written, why a file system is not made
// smaller.
type RefusedError struct {
	Reason Reason
	Why    string
}

func (e *RefusedError) Error() string { return "it cannot be made smaller: " + e.Why }

// A NoRoomError says that a file system does not fit after all. The target
// holds neither old nor new.
type NoRoomError struct {
	Size int64 // of the target, bytes
	Err  error
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("the file system does not fit in %d bytes: %v", e.Size, e.Err)
}
func (e *NoRoomError) Unwrap() error { return e.Err }

// Supported asks the resize2fs at hand whether it knows all features of the file
// system, and returns a *RefusedError where it does not. It writes nothing but a
// small file in memory.
func (f *Facts) Supported(ctx context.Context, run func(ctx context.Context, name string, args ...string) ([]byte, int, error)) error {
	fd, err := memoryFile("superblock")
	if err != nil {
		return fmt.Errorf("ask resize2fs: %w", err)
	}
	file := os.NewFile(uintptr(fd), "superblock")
	defer file.Close()
	// Where it likes the superblock it complains about the rest, which is missing.
	if _, err := file.WriteAt(f.super, ext4.SuperOff); err != nil {
		return fmt.Errorf("ask resize2fs: %w", err)
	}
	out, _, err := run(ctx, "resize2fs", "-P", ownFile(file.Fd()))
	if err != nil {
		return fmt.Errorf("ask resize2fs: %w", err)
	}
	if text := string(out); strings.Contains(text, "unsupported feature") || strings.Contains(text, "unsupported read-only feature") {
		return &RefusedError{UnknownFeature, "the resize2fs at hand is too old for it: " + lastLines(out)}
	}
	return nil
}

// ownFile is the path under which other programs find a file that is open here.
func ownFile(fd uintptr) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd) }

// lastLines are the last words of a program, as one line.
func lastLines(out []byte) string {
	var words []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line = strings.TrimSpace(line[strings.LastIndexAny(line, "\r\b")+1:]); line != "" {
			words = append(words, line)
		}
	}
	if len(words) == 0 {
		return "it said nothing"
	}
	return strings.Join(words[max(0, len(words)-4):], "; ")
}
