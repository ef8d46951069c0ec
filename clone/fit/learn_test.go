package fit_test

import (
	"os"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/fit"
	"lifeboat/internal/fixture"
)

// TestLearn makes file systems smaller of which only the start is known
// beforehand, out of a stream of all their bytes with garbage where nothing is.
func TestLearn(t *testing.T) {
	t.Parallel()
	for _, r := range recipes() {
		if r.name == "meta_bg" {
			continue // its descriptors come late
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.name != "rpi" {
				fixture.Long(t)
			}
			r.data /= 2
			path := r.make(t)
			exact := survey(t, path)
			if !r.dirty {
				soil(t, path, exact)
			}
			for _, size := range sizes(exact)[2:] {
				tr := trial{path: path, size: size, facts: learn(t, path), all: !r.dirty}
				if r.dirty {
					tr.bring = exact.Used
				}
				tr.must(t)
				tr.judgeFiles(t, listing(t, path))
				t.Logf("wrote %d bytes for %d in use: %+v", tr.to.written, exact.Used.Bytes(), tr.stats)
				most := exact.Used.Bytes() * 21 / 20
				if r.name == "ext2" { // garbage before a group's bitmap spoils the prediction
					most = most * 3 / 2
				}
				if got := tr.stats.Written(); got > most {
					t.Errorf("wrote %d bytes, want at most %d", got, most)
				}
			}
		})
	}
}

func learn(t *testing.T, path string) *fit.Facts {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	head := make([]byte, fit.HeadSize)
	_, err = f.ReadAt(head, 0)
	must(t, err)
	facts, err := fit.Learn(head, st.Size())
	must(t, err)
	return facts
}

// soil fills what is not in use with garbage.
func soil(t *testing.T, path string, f *fit.Facts) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	junk := make([]byte, mib)
	for i := range junk {
		junk[i] = byte(i%251) + 1
	}
	for _, e := range extent.Of(extent.Extent{Off: 0, Len: f.Size}).Subtract(f.Used) {
		for off := e.Off; off < e.End(); off += mib {
			_, err := file.WriteAt(junk[:min(mib, e.End()-off)], off)
			must(t, err)
		}
	}
}

// TestLearnRefuses holds what a stream cannot do.
func TestLearnRefuses(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs")
	path := fixture.Sparse(t, "scattered", 64*mib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", path)
	head, err := os.ReadFile(path)
	must(t, err)
	if _, err := fit.Learn(head[:fit.HeadSize], 64*mib); err == nil {
		t.Error("scattered descriptors: got no error")
	}
	if _, err := fit.Learn(make([]byte, fit.HeadSize), 64*mib); err == nil {
		t.Error("zeros: got no error")
	}
}
