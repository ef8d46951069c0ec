package clone

import (
	"errors"

	"lifeboat/clone/disk"
	"lifeboat/clone/manifest"
)

// A BadTargetError says that the target did not take bytes, or did not give them
// back, and where they lie on it.
type BadTargetError struct {
	Place string // "part 2", "outside of parts"
	Err   error  // a *disk.WriteError or *disk.ReadError
}

func (e *BadTargetError) Error() string { return e.Place + " of the target: " + e.Err.Error() }
func (e *BadTargetError) Unwrap() error { return e.Err }

// whose names the part of an error of the target. Those of the source have
// theirs.
func (p *Plan) whose(err error) error {
	var (
		source  *UnreadableError
		written *disk.WriteError
		read    *disk.ReadError
	)
	switch {
	case errors.As(err, &source):
		return err
	case errors.As(err, &written):
		return &BadTargetError{p.placeOf(written.Extent.Off), written}
	case errors.As(err, &read):
		return &BadTargetError{p.placeOf(read.Extent.Off), read}
	}
	return err
}

// placeOf names what a byte of the target belongs to.
func (p *Plan) placeOf(off int64) string {
	there := manifest.Head{Parts: partsOf(p.Table, p.Target.Size)}
	return there.Place(off)
}
