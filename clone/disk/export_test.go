package disk

import "lifeboat/clone/extent"

// For tests in package disk_test.

func Holds(r interface {
	ReadAt(p []byte, off int64) (int, error)
}, size, sector int64) (string, error) {
	return holds(r, size, sector)
}

func Word(d Disk, holds string) string { return word(d, holds) }

func Narrow(e extent.Extent, unit int64, try func(extent.Extent) error) extent.Extent {
	return narrow(e, unit, try)
}

// ForceCached takes the direct descriptor away, as on a file system without
// direct I/O.
func (t *Target) ForceCached() {
	t.direct.Close()
	t.direct = nil
}

// ForceOddUnit makes the kernel refuse each direct request with EINVAL: the unit
// is too small to be true.
func (t *Target) ForceOddUnit() { t.unit = 1 }

// WriteZeroBuffers is the last way of WriteZeros.
func (t *Target) WriteZeroBuffers(e extent.Extent) error { return t.writeZeros(e) }
