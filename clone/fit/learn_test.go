package fit_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	st, err := os.Stat(path)
	must(t, err)
	facts, err := fit.Learn(head(t, path), st.Size())
	must(t, err)
	return facts
}

// head is what Learn wants.
func head(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	b := make([]byte, fit.HeadSize)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return b
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

// TestLearnRefuses holds what a stream cannot do, and what it can.
func TestLearnRefuses(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	for _, c := range []struct {
		size int64
		mkfs []string
		cmd  string // of debugfs
		want fit.Reason
	}{
		{256 * mib, []string{"-b", "1024", "-O", "meta_bg,^resize_inode"}, "", fit.Scattered},
		{64 * mib, []string{"-b", "1024", "-O", "meta_bg,^resize_inode"}, "", ""}, // all in one block
		{64 * mib, []string{"-O", "metadata_csum"}, "", ""},
		{64 * mib, []string{"-b", "1024", "-O", "metadata_csum"}, "set_block_group 3 checksum 17", fit.Damaged},
		{64 * mib, []string{"-O", "stable_inodes"}, "", fit.StableInodes},
	} {
		path := fixture.Sparse(t, "learned", c.size)
		fixture.Run(t, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4"}, c.mkfs...), path)...)
		if c.cmd != "" {
			fixture.Run(t, "debugfs", "-w", "-R", c.cmd, path)
		}
		var refused *fit.RefusedError
		facts, err := fit.Learn(head(t, path), c.size)
		switch {
		case c.want == "" && err == nil:
			if got, want := facts.Tables, survey(t, path).Tables; !slices.Equal(got, want) {
				t.Errorf("%v: got tables %v, want %v", c.mkfs, got, want)
			}
		case c.want == "" || !errors.As(err, &refused) || refused.Reason != c.want:
			t.Errorf("%v: got %v, want %q", c.mkfs, err, c.want)
		}
	}
	if _, err := fit.Learn(make([]byte, fit.HeadSize), 64*mib); err == nil {
		t.Error("zeros: got no error")
	}
}

// TestGrowing holds that a file system whose journal gives it another size is
// left alone: what lies in it tells of the old one.
func TestGrowing(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "mke2fs", "debugfs")
	path := fixture.Sparse(t, "growing", 16*mib)
	fixture.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum", path)
	const offBlocks, offFreeBlocks = 0x4, 0xc
	super := head(t, path)[1024:2048]
	for _, off := range []int{offBlocks, offFreeBlocks} {
		binary.LittleEndian.PutUint32(super[off:], binary.LittleEndian.Uint32(super[off:])-8)
	}
	logged := filepath.Join(t.TempDir(), "superblock")
	must(t, os.WriteFile(logged, super, 0o600))
	script := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(script, []byte("jo\njw -b 1 "+logged+"\njc\n"), 0o600))
	fixture.Run(t, "debugfs", "-w", "-f", script, path)
	var refused *fit.RefusedError
	if err := refuse(t, path); !errors.As(err, &refused) || !strings.Contains(refused.Why, "another size") {
		t.Errorf("got %v, want a refusal for its size", err)
	}
}
