package uinit_test

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"lifeboat/initramfs/uinit"
)

// loaderOf makes a Loader of a few modules, and tells what it loads, with what
// parameters, and what it logs.
func loaderOf(t *testing.T, fail map[string]error) (*uinit.Loader, *[]string, *[]string) {
	t.Helper()
	var order, logged []string
	l, err := uinit.LoaderOf(fstest.MapFS{
		"modules.dep": {Data: []byte("a/ext4.ko: a/jbd2.ko a/mbcache.ko\na/jbd2.ko:\na/mbcache.ko:\na/uas.ko: a/usb-storage.ko\na/usb-storage.ko:\n" +
			"a/btrfs.ko: a/xor.ko\na/xor.ko:\na/crc32c_generic.ko:\na/loop1.ko:\na/loop2.ko:\na/mmc_block.ko:\na/nls_iso8859-1.ko:\n")},
		"modules.builtin": {Data: []byte("kernel/fs/nls/nls_base.ko\n")},
		"modules.alias":   {Data: []byte("alias fs-ext4 ext4\nalias fs-btrfs btrfs\nalias crypto-crc32c crc32c_generic\nalias usb:v1* uas\nalias mmc:block mmc_block\n")},
		"modules.softdep": {Data: []byte("softdep btrfs pre: crypto-crc32c not-there\nsoftdep loop1 pre: loop2\nsoftdep loop2 pre: loop1\n")},
	}, func(file, params string) error {
		name := strings.TrimSuffix(path.Base(file), ".ko")
		order = append(order, strings.TrimSpace(name+" "+params))
		return fail[name]
	}, func(name string) string {
		if name == "usb_storage" {
			return "quirks=152d:0578:u "
		}
		return ""
	}, func(format string, args ...any) { logged = append(logged, fmt.Sprintf(format, args...)) })
	if err != nil {
		t.Fatal(err)
	}
	return l, &order, &logged
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(l *uinit.Loader)
		want []string
	}{
		{"hard dependencies come first", func(l *uinit.Loader) { l.Load("ext4") }, []string{"mbcache", "jbd2", "ext4"}},
		{"nothing is loaded twice", func(l *uinit.Loader) { l.Load("ext4"); l.Load("jbd2"); l.Alias("fs-ext4") }, []string{"mbcache", "jbd2", "ext4"}},
		{"a softdep may be an alias, and missing", func(l *uinit.Loader) { l.Load("btrfs") }, []string{"crc32c_generic", "xor", "btrfs"}},
		{"a dependency gets its parameters", func(l *uinit.Loader) { l.Alias("usb:v1p2") }, []string{"usb-storage quirks=152d:0578:u", "uas"}},
		{"a circle of softdeps ends", func(l *uinit.Loader) { l.Load("loop1") }, []string{"loop2", "loop1"}},
		{"a list with comments", func(l *uinit.Loader) { l.List("# all\n\n jbd2 \nusb-storage # stick\n") }, []string{"jbd2", "usb-storage quirks=152d:0578:u"}},
		{"a message of the kernel", func(l *uinit.Loader) {
			l.Uevent("add@/devices/x\x00ACTION=add\x00MODALIAS=mmc:block\x00SEQNUM=1\x00")
			l.Uevent("remove@/devices/y\x00MODALIAS=fs-ext4\x00")
			l.Uevent("add@/devices/z\x00ACTION=add\x00")
			l.Uevent("")
		}, []string{"mmc_block"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, order, _ := loaderOf(t, nil)
			c.do(l)
			if !slices.Equal(*order, c.want) {
				t.Errorf("got %q, want %q", *order, c.want)
			}
		})
	}
}

func TestLoadFailure(t *testing.T) {
	t.Parallel()
	l, order, _ := loaderOf(t, map[string]error{"jbd2": errors.New("invalid module format")})
	err := l.Load("ext4")
	if err == nil || !strings.Contains(err.Error(), "ext4 needs module jbd2: invalid module format") {
		t.Errorf("got %v", err)
	}
	if slices.Contains(*order, "ext4") {
		t.Error("ext4 was loaded without what it needs")
	}
}

func TestColdPlug(t *testing.T) {
	t.Parallel()
	l, order, logged := loaderOf(t, map[string]error{"mmc_block": errors.New("no such device")})
	sys := fstest.MapFS{
		"bus/usb/devices/1-1:1.0/uevent": {Data: []byte("DEVTYPE=usb_interface\nMODALIAS=usb:v1p2\n")},
		"bus/platform/devices/x/uevent":  {Data: []byte("DRIVER=x\n")},
	}
	if n := l.ColdPlug(sys); n != 2 {
		t.Errorf("first look: %d new modules, want 2", n)
	}
	if n := l.ColdPlug(sys); n != 0 {
		t.Errorf("second look: %d new modules, want 0", n)
	}
	sys["bus/mmc/devices/mmc0:0001/uevent"] = &fstest.MapFile{Data: []byte("MMC_TYPE=SD\nMODALIAS=mmc:block\n")}
	if n := l.ColdPlug(sys); n != 1 {
		t.Errorf("with a card: %d new modules, want 1", n)
	}
	if want := []string{"usb-storage quirks=152d:0578:u", "uas", "mmc_block"}; !slices.Equal(*order, want) {
		t.Errorf("got %q, want %q", *order, want)
	}
	if len(*logged) != 1 || !strings.Contains((*logged)[0], "no such device") {
		t.Errorf("log: got %q", *logged)
	}
}

func TestModprobe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want int
		load []string
	}{
		{[]string{"-q", "--", "fs-ext4"}, 0, []string{"mbcache", "jbd2", "ext4"}},
		{[]string{"-q", "--", "fs_btrfs"}, 0, []string{"crc32c_generic", "xor", "btrfs"}},
		{[]string{"-q", "--", "usb-storage"}, 0, []string{"usb-storage quirks=152d:0578:u"}},
		{[]string{"-q", "--", "nls_iso8859-1"}, 0, []string{"nls_iso8859-1"}}, // both kinds of dash
		{[]string{"-q", "--", "nls_iso8859_1"}, 0, []string{"nls_iso8859-1"}},
		{[]string{"-q", "--", "nls-base"}, 0, nil}, // built in
		{[]string{"-q", "--", "not-there"}, 1, nil},
		{[]string{"-q", "--"}, 1, nil},
	} {
		l, order, _ := loaderOf(t, nil)
		if got := l.ModprobeArgs(c.args...); got != c.want || !slices.Equal(*order, c.load) {
			t.Errorf("modprobe %q = %d after %q, want %d after %q", c.args, got, *order, c.want, c.load)
		}
	}
}

func TestRoleOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pid   int
		argv0 string
		want  uinit.Role
	}{
		{1, "/init", uinit.RoleInit},
		{1, "init", uinit.RoleInit},
		{1, "/sbin/init", uinit.RoleInit},
		{1, "lifeboat", uinit.RoleTool}, // a container
		{57, "/init", uinit.RoleTool},
		{57, "/sbin/modprobe", uinit.RoleModprobe},
		{57, "/proc/self/exe", uinit.RoleTool},
	} {
		if got := uinit.RoleOf(c.pid, c.argv0); got != c.want {
			t.Errorf("RoleOf(%d, %q) = %v, want %v", c.pid, c.argv0, got, c.want)
		}
	}
}
