package main

import (
	"context"
	"errors"
	"fmt"

	"lifeboat/clone"
	"lifeboat/clone/codec"
	"lifeboat/clone/disk"
	"lifeboat/clone/store"
)

// The exit codes promise the state of the target: docs/SAFETY.md, section 6.
const (
	exitDone        = 0
	exitFailed      = 1
	exitRefused     = 3
	exitTouched     = 4
	exitReserved    = 5
	exitDiffers     = 6
	exitUsage       = 64
	exitInterrupted = 130
)

// A usageError is a command line that cannot be meant.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A reservedError says that the work is done, and what about it is not as it
// should be.
type reservedError struct{ reservations []string }

func (e reservedError) Error() string {
	if len(e.reservations) == 1 {
		return "done, with one reservation"
	}
	return fmt.Sprintf("done, with %d reservations", len(e.reservations))
}

// errDiffers is the result of a comparison, which has been printed.
var errDiffers = errors.New("they differ")

func exitCode(err error) int {
	var touched *clone.TouchedError
	var reserved reservedError
	var bad usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &touched):
		return exitTouched
	case errors.As(err, &reserved):
		return exitReserved
	case errors.Is(err, errDiffers):
		return exitDiffers
	case errors.As(err, &bad):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case isRefusal(err):
		return exitRefused
	}
	return exitFailed
}

// isRefusal tells a no, said before anything was written, from an accident.
func isRefusal(err error) bool {
	var (
		plan    *clone.Refusal
		part    *disk.NotADiskError
		use     *disk.InUseError
		changed *disk.ChangedError
		locked  *disk.ReadOnlyError
		twice   *disk.SameWordError
		empty   *disk.NoMediumError
		many    *codec.AmbiguousError
		host    *store.HostKeyError
	)
	return errors.As(err, &many) || errors.As(err, &host) || errors.As(err, &plan) || errors.As(err, &part) || errors.As(err, &use) || errors.As(err, &changed) ||
		errors.As(err, &locked) || errors.As(err, &twice) || errors.As(err, &empty) || errors.Is(err, disk.ErrNoConsent)
}

// hintOf is what the user can do about an error, where that is known.
func hintOf(err error) string {
	var (
		touched *clone.TouchedError
		source  *clone.UnreadableError
		target  *clone.BadTargetError
		lost    *clone.LostError
	)
	switch {
	case errors.As(err, &source) && errors.As(err, &touched):
		return "the target holds neither its old content nor the new one; --keep-going takes zeros for what cannot be read, and continues"
	case source != nil:
		return "no target was touched; --keep-going (of backup, clone and restore) takes zeros for what cannot be read"
	case errors.As(err, &touched) && touched.InPlace:
		return "what it held is still there, and the change is half done; give the same command again to continue"
	case errors.As(err, &lost), errors.As(err, &target):
		return "the target holds neither its old content nor the new one; take another card or disk"
	case touched != nil:
		return "the target holds neither its old content nor the new one; give the same command again to continue"
	}
	var (
		plan  *clone.Refusal
		use   *disk.InUseError
		twice *disk.SameWordError
		many  *codec.AmbiguousError
		host  *store.HostKeyError
	)
	switch {
	case errors.As(err, &host):
		return host.Hint()
	case errors.As(err, &plan):
		return plan.Hint
	case errors.As(err, &many):
		return "say which with --member=NAME"
	case errors.As(err, &use):
		return "unmount it, or take another disk: lifeboat disks lists them"
	case errors.As(err, &twice):
		return "unplug one of them"
	case errors.Is(err, disk.ErrNoConsent):
		return "nothing was written; the word stands in the plan, and in lifeboat disks"
	}
	return ""
}
