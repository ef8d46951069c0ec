package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lifeboat/clone/disk"
	"lifeboat/internal/fixture"
)

// refused claims what f describes, which must fail, and leave the bytes alone.
func refused(t *testing.T, f disk.Facts, consent disk.Consent, from ...disk.Facts) error {
	t.Helper()
	tg, err := disk.Claim(t.Context(), disk.Host(), f, consent, from...)
	if err == nil {
		tg.Close()
		t.Fatalf("%s was claimed", f.Disk.Path)
	}
	if !strings.HasPrefix(err.Error(), "claim "+f.Disk.Path+": ") {
		t.Errorf("the error does not say what was tried: %v", err)
	}
	return err
}

func TestConsent(t *testing.T) {
	t.Parallel()
	f := look(t, fixture.Loop(t, image(t, 1<<20)))
	for name, consent := range map[string]disk.Consent{
		"nobody asked":   nil,
		"the wrong word": disk.Say("yes"),
		"no word":        disk.Say(""),
		"an old word":    disk.Say(disk.Word(f.Disk, "cafe0001")),
	} {
		if err := refused(t, f, consent); !errors.Is(err, disk.ErrNoConsent) {
			t.Errorf("%s: got %v, want no consent", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := disk.Claim(ctx, disk.Host(), f, disk.Say(f.Word)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	asked := false
	tg, err := disk.Claim(t.Context(), disk.Host(), f, func(ctx context.Context, shown disk.Facts) error {
		asked = shown.Word == f.Word
		return disk.Say(" "+strings.ToUpper(f.Word)+"\n")(ctx, shown)
	})
	if err != nil || !asked {
		t.Fatalf("the right word: %v, asked %v", err, asked)
	}
	tg.Close()
}

// A disk without a word must not be had by giving none.
func TestNoWordIsNoConsent(t *testing.T) {
	t.Parallel()
	if err := disk.Say("")(t.Context(), disk.Facts{}); !errors.Is(err, disk.ErrNoConsent) {
		t.Errorf("got %v", err)
	}
}

func TestClaimRefusesWhatChanged(t *testing.T) {
	t.Parallel()
	node := fixture.Loop(t, image(t, 1<<20))
	shown := look(t, node)
	yes := disk.Say(shown.Word)
	for name, change := range map[string]func(f *disk.Facts){
		"device number":   func(f *disk.Facts) { f.Disk.Minor++ },
		"serial":          func(f *disk.Facts) { f.Disk.Serial = "1" },
		"model":           func(f *disk.Facts) { f.Disk.Model = "1" },
		"size":            func(f *disk.Facts) { f.Disk.Size++ },
		"sequence number": func(f *disk.Facts) { f.Disk.Seq++ },
		"content":         func(f *disk.Facts) { f.Holds = "cafe0001" },
		"kind":            func(f *disk.Facts) { f.File = true },
	} {
		f := shown
		change(&f)
		var changed *disk.ChangedError
		if err := refused(t, f, yes); !errors.As(err, &changed) || changed.What != name {
			t.Errorf("%s: got %v", name, err)
		}
	}
	err := refused(t, shown, func(context.Context, disk.Facts) error { // while the question is open
		return os.WriteFile(node, []byte("somebody else's data"), 0)
	})
	var changed *disk.ChangedError
	if !errors.As(err, &changed) || changed.Is != disk.Untold {
		t.Errorf("written meanwhile: got %v", err)
	}
}

func TestClaimRefusesInUse(t *testing.T) {
	t.Parallel()
	inUse := func(t *testing.T, err error, how string) {
		t.Helper()
		var use *disk.InUseError
		if !errors.As(err, &use) || !strings.Contains(err.Error(), how) {
			t.Errorf("got %v, want in use: %s", err, how)
		}
	}
	t.Run("mounted", func(t *testing.T) {
		t.Parallel()
		file := image(t, 8<<20)
		fixture.Run(t, "mke2fs", "-q", "-F", file)
		node, dir := fixture.Loop(t, file), t.TempDir()
		if err := unix.Mount(node, dir, "ext4", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { fixture.Unmount(dir) })
		f := look(t, node)
		inUse(t, refused(t, f, disk.Say(f.Word)), "is mounted on "+dir)
		f.Users = nil // as if the look had been before the mount
		inUse(t, refused(t, f, disk.Say(f.Word)), "is mounted on "+dir)
	})
	t.Run("claimed already", func(t *testing.T) {
		t.Parallel()
		node := fixture.Loop(t, image(t, 1<<20))
		claim(t, node)
		f := look(t, node)
		inUse(t, refused(t, f, disk.Say(f.Word)), "held by another program")
	})
	t.Run("the source", func(t *testing.T) {
		t.Parallel()
		f := look(t, fixture.Loop(t, image(t, 1<<20)))
		inUse(t, refused(t, f, disk.Say(f.Word), f), "read from")
	})
	t.Run("a file under a loop device", func(t *testing.T) {
		t.Parallel()
		file := image(t, 1<<20)
		node := fixture.Loop(t, file)
		inUse(t, refused(t, look(t, file), nil), "lies under the loop device "+node)
	})
	t.Run("a file claimed already", func(t *testing.T) {
		t.Parallel()
		file := image(t, 1<<20)
		claim(t, file)
		inUse(t, refused(t, look(t, file), nil), "locked")
	})
	t.Run("a file that is the source", func(t *testing.T) {
		t.Parallel()
		file := image(t, 1<<20)
		other := filepath.Join(filepath.Dir(file), "hardlink.img")
		if err := os.Link(file, other); err != nil {
			t.Fatal(err)
		}
		inUse(t, refused(t, look(t, file), nil, look(t, other)), "read from")
	})
}

func TestClaimReadOnly(t *testing.T) {
	t.Parallel()
	f := look(t, fixture.Loop(t, image(t, 1<<20), "-r"))
	var ro *disk.ReadOnlyError
	if err := refused(t, f, disk.Say(f.Word)); !errors.As(err, &ro) {
		t.Errorf("got %v, want read-only", err)
	}
}

// A file that was replaced by another of the same name is not what was shown.
func TestClaimFileReplaced(t *testing.T) {
	t.Parallel()
	file := image(t, 1<<20)
	f := look(t, file)
	if err := os.Rename(image(t, 1<<20), file); err != nil {
		t.Fatal(err)
	}
	var changed *disk.ChangedError
	if err := refused(t, f, nil); !errors.As(err, &changed) || changed.What != "inode" {
		t.Errorf("got %v", err)
	}
}

func TestLookAtNonsense(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	if err := unix.Mknod(gone, unix.S_IFBLK|0o600, int(unix.Mkdev(8, 250))); err != nil {
		fixture.Missing(t, "the right to make device nodes: "+err.Error())
	}
	for path, want := range map[string]string{
		dir:         dir + " is a folder, not a disk",
		"/dev/null": "/dev/null is neither a disk nor an image file",
		gone:        gone + " is the node of a device that is not there: was it unplugged?",
	} {
		_, err := disk.Host().Look(path)
		var not *disk.NotADiskError
		if !errors.As(err, &not) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := disk.Host().Look("/dev/no-such-disk"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not found", err)
	}
}
