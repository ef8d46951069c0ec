package filesystem_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/filesystem"
	"lifeboat/clone/manifest"
	"lifeboat/internal/fixture"
)

const (
	mib = 1 << 20
	id  = "01234567-89ab-cdef-0123-456789abcdef"
)

// blank makes a sparse file of n bytes.
func blank(t testing.TB, n int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "img")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, n))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// probe opens the file for the rest of the test and probes it.
func probe(t testing.TB, path string) (*os.File, int64, manifest.FS) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	info, err := f.Stat()
	must(t, err)
	fs, err := filesystem.Probe(f, info.Size())
	must(t, err)
	return f, info.Size(), fs
}

// blkid is what blkid says, by its own names.
func blkid(t testing.TB, path string) map[string]string {
	t.Helper()
	out, code := fixture.Try(t, "blkid", "-p", "-o", "export", path)
	said := map[string]string{}
	if code != 0 {
		return said
	}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[name] = strings.ReplaceAll(value, `\`, "")
	}
	return said
}

// TestProbe makes file systems by their own tools and holds what we say against
// blkid.
func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		cmd  string
	}{
		{"ext2", 8 * mib, "mke2fs -q -F -t ext2 -L a_label -U " + id},
		{"ext3", 16 * mib, "mke2fs -q -F -t ext3 -L a_label -U " + id},
		{"ext4", 16 * mib, "mke2fs -q -F -t ext4 -L a_label -U " + id},
		{"ext4 like ext3", 16 * mib, "mke2fs -q -F -t ext3 -O extent"},
		{"external journal", 16 * mib, "mke2fs -q -F -O journal_dev -U " + id},
		{"fat12", 4 * mib, "mkfs.vfat -F 12 -n ALABEL -i 1234abcd"},
		{"fat16", 16 * mib, "mkfs.vfat -F 16 -n ALABEL -i 1234abcd"},
		{"fat32", 64 * mib, "mkfs.vfat -F 32 -n ALABEL -i 1234abcd"},
		{"swap", 4 * mib, "mkswap -q -L a_label -U " + id},
		{"swap 16k", 4 * mib, "mkswap -q -p 16384 -U " + id},
		{"btrfs", 128 * mib, "mkfs.btrfs -q -L a_label"},
		{"f2fs", 64 * mib, "mkfs.f2fs -q -l a_label -U " + id},
		{"blank", 4 * mib, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(c.cmd)
			fixture.Need(t, words[0], "blkid")
			path := blank(t, c.size)
			fixture.Run(t, words[0], append(words[1:], path)...)
			_, _, got := probe(t, path)
			want := blkid(t, path)
			if want["TYPE"] == "" && c.name != "blank" {
				t.Fatal("blkid says nothing")
			}
			if got.Type != want["TYPE"] || got.UUID != want["UUID"] || got.Label != want["LABEL"] {
				t.Errorf("got %+v, want %v", got, want)
			}
		})
	}
}

// TestSigns probes headers that are made here, for want of their tools. Where
// blkid says something it must be the same; it wants more than some of these
// hold.
func TestSigns(t *testing.T) {
	t.Parallel()
	fixture.Need(t, "blkid")
	raw := []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	type piece struct {
		off int64
		b   string
	}
	le64 := func(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }
	for _, c := range []struct {
		want   manifest.FS
		pieces []piece
	}{
		{manifest.FS{Type: "xfs", UUID: id, Label: "a_label", Block: 4096, Size: 4096 * 256}, []piece{{0, "XFSB\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00"}, {32, string(raw)}, {108, "a_label"}}},
		{manifest.FS{Type: "crypto_LUKS", UUID: id}, []piece{{0, "LUKS\xba\xbe\x00\x01"}, {168, id}}},
		{manifest.FS{Type: "crypto_LUKS", UUID: id, Label: "a_label"}, []piece{{0, "LUKS\xba\xbe\x00\x02"}, {24, "a_label"}, {168, id}}},
		{manifest.FS{Type: "LVM2_member", UUID: "abcdef-ghij-klmn-opqr-stuv-wxyz-012345"}, []piece{{512, "LABELONE"}, {536, "LVM2 001abcdefghijklmnopqrstuvwxyz012345"}}},
		{manifest.FS{Type: "squashfs"}, []piece{{0, "hsqs"}, {28, "\x04\x00"}}},
		{manifest.FS{Type: "iso9660", Label: "A DISC"}, []piece{{32768, "\x01CD001\x01"}, {32768 + 40, "A DISC" + strings.Repeat(" ", 26)}}},
		{manifest.FS{Type: "ntfs", UUID: "1234567890ABCDEF"}, []piece{{3, "NTFS    "}, {72, le64(0x1234567890abcdef)}}},
		{manifest.FS{Type: "exfat", UUID: "1234-ABCD"}, []piece{{3, "EXFAT   "}, {100, "\xcd\xab\x34\x12"}}},
		{manifest.FS{Type: "erofs", UUID: id, Label: "a_label"}, []piece{{1024, "\xe2\xe1\xf5\xe0"}, {1024 + 48, string(raw)}, {1024 + 64, "a_label"}}},
		{manifest.FS{Type: "bcache", UUID: id}, []piece{{4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"}, {4096 + 40, string(raw)}}},
		{manifest.FS{Type: "linux_raid_member", UUID: id, Label: "pi:0"}, []piece{{4096, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}, {4096 + 16, string(raw)}, {4096 + 32, "pi:0"}}},
		{manifest.FS{Type: "linux_raid_member", UUID: id}, []piece{{2*mib - 8192, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00"}, {2*mib - 8192 + 16, string(raw)}}},
		{manifest.FS{Type: "linux_raid_member", Detail: "version 0.90"}, []piece{{2*mib - 65536, "\xfc\x4e\x2b\xa9\x00\x00\x00\x00"}}},
		{manifest.FS{Type: "zfs_member"}, []piece{{128 << 10, le64(0xbab10c)}, {129 << 10, le64(0xbab10c)}, {130 << 10, le64(0xbab10c)}, {200 << 10, le64(0xbab10c)}}},
		{manifest.FS{Type: "swsuspend", Block: 4096, Size: 4096}, []piece{{4086, "S1SUSPEND\x00"}}},
		{manifest.FS{Detail: "signs of more than one file system: squashfs, iso9660"}, []piece{{0, "hsqs"}, {28, "\x04\x00"}, {32769, "CD001"}}},
		{manifest.FS{Type: "crypto_LUKS", UUID: id}, []piece{{0, "LUKS\xba\xbe\x00\x01"}, {168, id}, {32769, "CD001"}}},
		{manifest.FS{Detail: "a damaged ext file system: it has 0 blocks from block 0 on"}, []piece{{1024 + 0x38, "\x53\xef"}, {1024 + 0x20, "\x00\x20"}, {1024 + 0x28, "\x00\x01"}}},
		{manifest.FS{}, []piece{{5000, "nothing that anybody knows"}}},
	} {
		b := make([]byte, 2*mib)
		for _, p := range c.pieces {
			copy(b[p.off:], p.b)
		}
		got, err := filesystem.Probe(bytes.NewReader(b), int64(len(b)))
		if err != nil || got != c.want {
			t.Errorf("got %+v, %v, want %+v", got, err, c.want)
		}
		path := filepath.Join(t.TempDir(), "img")
		must(t, os.WriteFile(path, b, 0o600))
		if said := blkid(t, path)["TYPE"]; said != "" && said != c.want.Type && c.want.Type != "" {
			t.Errorf("got %+v, blkid says %s", got, said)
		}
		set, why, err := filesystem.Used(bytes.NewReader(b), int64(len(b)), got)
		if err != nil || why == "" || set.Bytes() != 2*mib {
			t.Errorf("%s: got %d bytes, %q, %v, want all", got.Type, set.Bytes(), why, err)
		}
		if _, err := filesystem.Files(bytes.NewReader(b), int64(len(b)), got); err == nil {
			t.Errorf("%s: got files, want none", got.Type)
		}
	}
}

// TestProbeShort wants no error from parts that are shorter than what is looked
// at.
func TestProbeShort(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, 511, 512, 1024, 2047, 4096, 65536, 69 << 10} {
		got, err := filesystem.Probe(bytes.NewReader(make([]byte, n)), n)
		if err != nil || got != (manifest.FS{}) {
			t.Errorf("%d bytes: got %+v, %v, want nothing", n, got, err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	for _, s := range []string{"XFSB", "LUKS\xba\xbe\x00\x02", "\x00\x00\x00NTFS    ", "hsqs"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs, err := filesystem.Probe(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		set, _, err := filesystem.Used(bytes.NewReader(b), int64(len(b)), fs)
		if err != nil {
			t.Fatal(err)
		}
		if err := set.Check(int64(len(b))); err != nil {
			t.Fatal(err)
		}
	})
}
