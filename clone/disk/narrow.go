package disk

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"lifeboat/clone/extent"
)

// A failing disk answers a large request with one error. narrow asks again for
// less, until the first run of bad sectors is known.

// Each try on a bad place takes a second and more. So a run is told in pieces of
// at most longestRun, and two bad sectors in one granule, which is the true
// sector of nearly every medium, stand for those between them.
const (
	longestRun = 64 << 10
	granule    = 4096
)

// badMedium tells whether err speaks of single sectors; if the whole disk is
// gone there is nothing to narrow down.
func badMedium(err error) bool {
	for _, errno := range []unix.Errno{unix.EIO, unix.ENODATA, unix.EILSEQ, unix.EREMOTEIO, unix.EBADMSG, unix.ETIMEDOUT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// narrow finds the first run of bad units in e, which failed as a whole and
// begins with a whole unit. try does the operation on a piece of e. The result
// is empty if all went well when asked again.
func narrow(e extent.Extent, unit int64, try func(extent.Extent) error) extent.Extent {
	n := (e.Len + unit - 1) / unit
	piece := func(i, j int64) extent.Extent {
		return extent.Extent{Off: e.Off + i*unit, Len: min(j*unit, e.Len) - i*unit}
	}
	ok := func(i, j int64) bool { return try(piece(i, j)) == nil }

	good, bad := int64(0), n // the units before good are good, one before bad is bad
	if !ok(0, 1) {
		bad = 1
	}
	for bad-good > 1 {
		if half := (good + bad) / 2; ok(good, half) {
			good = half
		} else {
			bad = half
		}
	}
	if bad == n && n > 1 && ok(good, n) {
		return extent.Extent{}
	}
	end := good + 1
	for limit := min(n, good+longestRun/unit); end < limit; {
		last := min(limit, end+max(1, (granule-(e.Off+end*unit)%granule)/unit))
		if ok(last-1, last) {
			for end < last-1 && !ok(end, end+1) {
				end++
			}
			break
		}
		end = last
	}
	return piece(good, end)
}

// readError says how much of a failed read of p is good after all, and with
// which error it ends; nil if the medium gave everything when asked again.
func readError(path string, unit int64, read func(p []byte, off int64) error, p []byte, off int64, err error) (int64, error) {
	want := extent.Extent{Off: off, Len: int64(len(p))}
	if !badMedium(err) {
		return 0, &ReadError{path, want, cause(err)}
	}
	start := off / unit * unit
	bad := narrow(extent.Extent{Off: start, Len: want.End() - start}, unit, func(e extent.Extent) error { return tryRead(read, e) })
	good := want.Len
	if bad.Len > 0 {
		good = max(0, bad.Off-off)
	}
	if again := read(p[:good], off); again != nil {
		return 0, &ReadError{path, want, cause(again)}
	}
	if bad.Len == 0 {
		return good, nil
	}
	return good, &ReadError{path, bad, cause(err)}
}

// tryRead reads e for nothing but the error.
func tryRead(read func(p []byte, off int64) error, e extent.Extent) error {
	buf := extent.Buffer()
	defer extent.Release(buf)
	for off := e.Off; off < e.End(); off += extent.BufferSize {
		if err := read(buf[:min(extent.BufferSize, e.End()-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// writeError says the same of a failed write of p; rest is how many bytes were
// still to be written, p's among them.
func (h *handle) writeError(p []byte, off, rest int64, err error) (int64, error) {
	if !badMedium(err) || off%h.unit != 0 {
		return 0, &WriteError{h.path, extent.Extent{Off: off, Len: rest}, cause(err)}
	}
	all := extent.Extent{Off: off, Len: int64(len(p))}
	bad := narrow(all, h.unit, func(e extent.Extent) error {
		return h.write(p[e.Off-off:e.End()-off], e.Off)
	})
	if bad.Len == 0 {
		return all.Len, nil
	}
	return bad.Off - off, &WriteError{h.path, bad, cause(err)}
}

// cause is the bare error number: the path is in our own sentence already.
func cause(err error) error {
	var perr *fs.PathError
	if errors.As(err, &perr) {
		return perr.Err
	}
	return err
}
