package live

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lifeboat/clone/disk"
	"lifeboat/clone/extent"
	"lifeboat/clone/manifest"
)

// fakeHost has a card with two parts, mounted as told.
func fakeHost(t *testing.T, mountinfo string) (host, disk.Disk) {
	t.Helper()
	dev := t.TempDir() // nobody holds its files
	sys := fstest.MapFS{
		"class/block/mmcblk0/dev":               {Data: []byte("179:0\n")},
		"class/block/mmcblk0p1/dev":             {Data: []byte("179:1\n")},
		"class/block/mmcblk0p2/dev":             {Data: []byte("179:2\n")},
		"class/block/mmcblk0p2/holders/dm-0/ro": {Data: []byte("0\n")},
		"class/block/mmcblk0/stat":              {Data: []byte("1 2 3 4 5 6 7000 8 9\n")},
		"devices/system/cpu/online":             {Data: []byte("0-2,5\n")},
	}
	if !strings.Contains(mountinfo, "dm-0") {
		delete(sys, "class/block/mmcblk0p2/holders/dm-0/ro")
	}
	for _, name := range []string{"mmcblk0p1", "mmcblk0p2"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := disk.Disk{Name: "mmcblk0", Size: 1 << 30, Major: 179, Parts: []disk.Partition{
		{Num: 1, Name: "mmcblk0p1", Extent: extent.Extent{Off: 1 << 20, Len: 10 << 20}},
		{Num: 2, Name: "mmcblk0p2", Extent: extent.Extent{Off: 11 << 20, Len: 100 << 20}},
	}}
	return host{sys: &disk.Sys{Proc: fstest.MapFS{"self/mountinfo": {Data: []byte(mountinfo)}}, Sys: sys, Dev: dev}}, d
}

func TestPartsOf(t *testing.T) {
	t.Parallel()
	const root = "25 1 179:2 / / rw shared:1 - ext4 /dev/root rw\n"
	for _, c := range []struct {
		name, mounts string
		boot, root   state
		no           string
	}{
		{"a Raspberry Pi", root + "26 25 179:1 / /boot rw shared:2 - vfat /dev/mmcblk0p1 rw,fmask=0022\n", loose, freezing, ""},
		{"boot part not mounted", root, idle, freezing, ""},
		{"boot part read-only", root + "26 25 179:1 / /boot ro - vfat /dev/mmcblk0p1 ro\n", idle, freezing, ""},
		{"mount read-only, file system not", root + "26 25 179:1 / /boot ro - vfat /dev/mmcblk0p1 rw\n", loose, freezing, ""},
		{"btrfs", "26 25 179:2 / /data rw - btrfs /dev/x rw\n", 0, 0, "btrfs"},
		{"f2fs", "26 25 179:2 / / rw - f2fs /dev/x rw\n", 0, 0, "f2fs"},
		{"squashfs", root + "26 25 179:1 / /snap ro - squashfs /dev/x ro\n", idle, freezing, ""},
		{"LVM", "26 25 254:0 / / rw - ext4 /dev/dm-0 rw\n", 0, 0, "carries dm-0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, d := fakeHost(t, c.mounts)
			parts, err := h.partsOf(d, true)
			var no *RefusedError
			if c.no != "" {
				if !errors.As(err, &no) || !strings.Contains(err.Error(), c.no) {
					t.Errorf("got %v, want a refusal with %q", err, c.no)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if parts[1].state != c.boot || parts[2].state != c.root {
				t.Errorf("got states %d and %d, want %d and %d", parts[1].state, parts[2].state, c.boot, c.root)
			}
			if what := sameUse(parts, parts); what != "" {
				t.Errorf("the same use is told to differ: %s", what)
			}
			other := slices.Clone(parts)
			other[1].rw = !other[1].rw
			if sameUse(parts, other) == "" {
				t.Error("a remount is not noticed")
			}
		})
	}
}

func TestParseMountsRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x\n", "1 2 3 / / rw - ext4 /dev/x rw\n", "25 1 179:2 / / rw ext4 /dev/root rw\n"} {
		if m, err := disk.ParseMounts(text); err == nil {
			t.Errorf("%q was understood: %+v", text, m)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("25 1 179:2 / / rw shared:1 master:3 - ext4 /dev/root rw\n")
	f.Add("26 25 0:20 / /with\\040space rw - overlay overlay rw,upperdir=/a\\040b\n")
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := disk.ParseMounts(text)
		if err == nil && len(mounts) > strings.Count(text, "\n")+1 {
			t.Errorf("%d mounts in %q", len(mounts), text)
		}
	})
}

func TestHostNumbers(t *testing.T) {
	t.Parallel()
	h, _ := fakeHost(t, "")
	if got := h.onlineCPUs(); !slices.Equal(got, []int{0, 1, 2, 5}) {
		t.Errorf("online CPUs are %v", got)
	}
	if got, err := h.writtenSectors("mmcblk0"); got != 7000 || err != nil {
		t.Errorf("got %d written sectors, %v, want 7000", got, err)
	}
	if _, err := h.writtenSectors("sda"); err == nil {
		t.Error("a disk without a count has one")
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	const size = 300*4096 + 512
	c := newChunks(size, 4096)
	for _, e := range []extent.Extent{{Off: 4095, Len: 2}, {Off: 63 * 4096, Len: 2 * 4096}, {Off: 128 * 4096, Len: 128 * 4096}, {Off: size - 1, Len: 1 << 40}, {Off: size, Len: 1}, {Off: -5, Len: 3}} {
		c.mark(e)
	}
	want := extent.Set{{Off: 0, Len: 2 * 4096}, {Off: 63 * 4096, Len: 2 * 4096}, {Off: 128 * 4096, Len: 128 * 4096}, {Off: 300 * 4096, Len: 512}}
	if got := c.take(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := c.take(); len(got) != 0 {
		t.Errorf("taken twice: %v", got)
	}
	if got := granuleFor(2<<40, smallest, mostChunks); got != 16384 {
		t.Errorf("2 TiB are kept in chunks of %d, want 16384", got)
	}
}

func TestBridge(t *testing.T) {
	t.Parallel()
	s := extent.Set{{Off: 0, Len: 4096}, {Off: 8192, Len: 4096}, {Off: 1 << 20, Len: 4096}}
	if got := bridge(s, 1<<20); !slices.Equal(got, extent.Set{{Off: 0, Len: 12288}, {Off: 1 << 20, Len: 4096}}) {
		t.Errorf("got %v", got)
	}
	if got := bridge(s, 3*4096); !slices.Equal(got, s) {
		t.Errorf("without room to spare: got %v", got)
	}
}

func TestDigests(t *testing.T) {
	t.Parallel()
	d := newDigests(1<<20, 4096)
	e, b := extent.Extent{Off: 4096, Len: 3 * 4096}, make([]byte, 3*4096)
	if got := d.changed(e, b); !slices.Equal(got, extent.Set{e}) {
		t.Errorf("new chunks: got %v", got)
	}
	b[5000] = 1
	want := extent.Set{{Off: 8192, Len: 4096}}
	if got := d.changed(e, b); !slices.Equal(got, want) {
		t.Errorf("one changed: got %v, want %v", got, want)
	}
	d.drop(want[0], b[4096:8192])
	if got := d.changed(e, b); !slices.Equal(got, want) {
		t.Errorf("one dropped: got %v, want %v", got, want)
	}
}

// TestLimiterVM has a kernel that can limit all disks only, by a ratio or bytes.
func TestLimiterVM(t *testing.T) {
	t.Parallel()
	for _, was := range []map[string]string{
		{"dirty_bytes": "0", "dirty_ratio": "20", "dirty_background_bytes": "0", "dirty_background_ratio": "10"},
		{"dirty_bytes": "4096", "dirty_ratio": "0", "dirty_background_bytes": "2048", "dirty_background_ratio": "0"},
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "proc/sys/vm")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for name, value := range was {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if value != "0" {
				want[filepath.Join(dir, name)] = value
			}
		}
		l := newLimiter(host{root: root}, disk.Disk{}, nil)
		if len(l.set) != 2 || len(l.restore) != 2 {
			t.Fatalf("sets %v and restores %v", l.set, l.restore)
		}
		for _, s := range l.restore {
			if want[s.File] != s.Value {
				t.Errorf("puts back %+v, want %v", s, want)
			}
		}
	}
	if l := newLimiter(host{root: t.TempDir()}, disk.Disk{}, nil); len(l.set) != 0 || l.on() != nil || l.off() != nil {
		t.Error("a kernel without limits is no reason to fail")
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	head := func(size int64, uuid string) *manifest.Head {
		return &manifest.Head{Parts: []manifest.Part{{Num: 2, FS: manifest.FS{Type: "ext4", UUID: uuid, Size: size}}}}
	}
	was := head(100, "a")
	for _, c := range []struct {
		is   *manifest.Head
		want string
	}{
		{head(100, "a"), ""},
		{head(200, "a"), "resized"},
		{head(100, "b"), "another file system"},
		{&manifest.Head{}, "table"},
	} {
		if got := changed(was, c.is); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestForeignJournal(t *testing.T) {
	t.Parallel()
	b := make([]byte, superSize)
	b[offMagic], b[offMagic+1], b[offCompat] = 0x53, 0xef, compatHasJournal
	if !foreignJournal(b) {
		t.Error("a journal without an inode is not taken for another disk's")
	}
	b[offJournalInode] = 8
	if foreignJournal(b) {
		t.Error("an own journal is taken for another disk's")
	}
}

// TestOrder holds that what was captured in vain comes before the round that
// reads the same place again.
func TestOrder(t *testing.T) {
	t.Parallel()
	e := extent.Extent{Off: 0, Len: 4096}
	p := &pass{
		left: []piece{{e, bytes.Repeat([]byte{1}, 4096)}},
		read: &reader{r: bytes.NewReader(bytes.Repeat([]byte{2}, 4096))},
		tail: &manifest.Tail{},
	}
	p.read.begin(extent.Of(e))
	for want := byte(1); want <= 2; want++ {
		if rec, err := p.Next(t.Context()); err != nil || rec.Extent != e || rec.Data[0] != want {
			t.Errorf("got %v, %v, want the bytes %d", rec, err, want)
		}
	}
	if _, err := p.Next(t.Context()); err != io.EOF {
		t.Errorf("got %v, want the end", err)
	}
}

func TestEnough(t *testing.T) {
	t.Parallel()
	const long = time.Second
	for _, c := range []struct {
		name  string
		sizes []int64
	}{
		{"short", []int64{shortRound - 1}},
		{"shrinking", []int64{80 << 20, 40 << 20, 20 << 20, 1 << 20}},
		{"not shrinking", []int64{80 << 20, 79 << 20, 80 << 20}},
		{"shrinking for ever", []int64{90 << 20, 80 << 20, 70 << 20, 60 << 20, 50 << 20, 40 << 20}},
	} {
		p := &pass{}
		for i, size := range c.sizes {
			p.rounds = i + 1
			if got, want := p.enough(size, long), i == len(c.sizes)-1; got != want {
				t.Errorf("%s: round %d of %d bytes: enough is %v", c.name, i+1, size, got)
			}
		}
	}
}
