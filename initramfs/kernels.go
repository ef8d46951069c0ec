package initramfs

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"lifeboat/boards"
	"lifeboat/clone/codec"
)

// A kernel is an image with its modules.
type kernel struct {
	version string
	source  Source
	fsys    fs.FS  // of the image
	file    string // the image
	inBoot  bool   // it lies in the boot part: this is what the system really boots
	order   int    // of the source
	bits    int
	isa     string // "ARMv6", where the modules tell
	gzip    bool
	tree    *tree
}

// findKernels lists the kernels of all sources that have their modules there:
// in the order of sources, what really boots first, then the newest. Notes say what was left out.
func findKernels(ctx context.Context, sources []Source) (list []*kernel, notes []string, err error) {
	trees := map[string]*tree{}
	for i, s := range sources {
		for _, place := range []struct {
			fsys fs.FS
			dir  string
			boot bool
		}{{s.Boot, ".", true}, {s.Root, "boot/firmware", true}, {s.Root, "boot", false}} {
			if place.fsys == nil {
				continue
			}
			at := Merge(place.fsys)
			for _, file := range kernelFiles(at, place.dir) {
				if err := ctx.Err(); err != nil {
					return nil, nil, err
				}
				k := &kernel{source: s, order: i, fsys: at, file: file, inBoot: place.boot}
				why, err := k.read(root(sources), trees)
				switch {
				case err != nil:
					return nil, nil, fmt.Errorf("kernel %s of %s: %w", file, s.Name, err)
				case why != "":
					notes = append(notes, fmt.Sprintf("kernel %s of %s is left out: %s", file, s.Name, why))
				case !slices.ContainsFunc(list, func(o *kernel) bool { return o.version == k.version }):
					list = append(list, k)
				}
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *kernel) int {
		return cmp.Or(
			cmp.Compare(a.order, b.order),
			cmp.Compare(btoi(b.inBoot), btoi(a.inBoot)),
			compareVersions(b.version, a.version),
		)
	})
	return list, notes, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// kernelFiles are the files of a folder that go by a kernel's name.
func kernelFiles(fsys fs.FS, dir string) []string {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if e.IsDir() || strings.Contains(name, ".dpkg-") || strings.HasSuffix(name, ".old") || strings.HasSuffix(name, ".bak") {
			continue
		}
		for _, prefix := range []string{"vmlinuz", "kernel", "image", "zimage"} {
			if strings.HasPrefix(name, prefix) {
				list = append(list, path.Join(dir, e.Name()))
				break
			}
		}
	}
	return list
}

// read tells what a kernel file is; why is set where it is of no use here.
func (k *kernel) read(root fs.FS, trees map[string]*tree) (why string, err error) {
	if why, err := k.sniff(); why != "" || err != nil {
		return why, err
	}
	if k.version, err = k.findVersion(versions(root)); err != nil || k.version == "" {
		return "its version cannot be told, or there are no modules for it", err
	}
	if trees[k.version] == nil {
		t, err := openTree(root, k.version)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("there are no modules for its version %s", k.version), nil
		}
		if err != nil {
			return "", err
		}
		trees[k.version] = t
	}
	k.tree = trees[k.version]
	_, k.isa, err = k.tree.machine()
	return "", err
}

// sniff tells the kernel's width and packing by its first bytes.
func (k *kernel) sniff() (why string, err error) {
	f, err := k.fsys.Open(k.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s, err := boards.SniffKernel(f)
	switch {
	case err != nil:
		return "it is damaged: " + err.Error(), nil
	case s.Packed != "" && s.Packed != "gzip":
		return "it is packed as " + s.Packed + ", which no boot loader here takes", nil
	case s.Bits == 0:
		return "it is no kernel for ARM", nil
	}
	k.bits, k.gzip = s.Bits, s.Packed == "gzip"
	return "", nil
}

// findVersion finds the version in the file's name, where modules of that name
// are there, else in the kernel itself.
func (k *kernel) findVersion(known []string) (string, error) {
	_, v, ok := strings.Cut(path.Base(k.file), "-")
	if ok && slices.Contains(known, v) {
		return v, nil
	}
	f, err := k.fsys.Open(k.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if k.bits == 32 {
		raw, err := io.ReadAll(io.LimitReader(f, maxFile))
		if err != nil {
			return "", err
		}
		return bannerOfZImage(raw), nil
	}
	z, err := codec.NewReader(f, codec.Limits{Output: maxFile})
	if err != nil {
		return "", nil
	}
	v = banner(z)
	return v, z.Close()
}

// banner finds "Linux version X" in an unpacked kernel (init/version.c,
// linux_banner); "" where there is none, or the kernel cannot be read.
func banner(r io.Reader) string {
	const mark, maxVersion = "Linux version ", 65
	var rest []byte
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		data := append(rest, buf[:n]...)
		for {
			i := bytes.Index(data, []byte(mark))
			if i < 0 || len(data) < i+len(mark)+maxVersion && err == nil {
				break
			}
			v, _, _ := bytes.Cut(data[i+len(mark):], []byte(" "))
			if len(v) < maxVersion && isVersion(string(v)) {
				return string(v)
			}
			data = data[i+len(mark):]
		}
		if err != nil {
			return ""
		}
		rest = bytes.Clone(data[max(0, len(data)-len(mark)-maxVersion):])
	}
}

// isVersion tells whether a word can be a kernel's version: it becomes the name
// of a folder.
func isVersion(s string) bool {
	odd := func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+~_-", r)
	}
	return s != "" && s[0] >= '0' && s[0] <= '9' && !strings.ContainsFunc(s, odd)
}

// Bounds for what only looks like a packed kernel: how many streams are tried,
// and how far each is unpacked.
const (
	maxTries    = 16
	maxUnpacked = 128 << 20
)

// bannerOfZImage looks into what a 32-bit kernel unpacks itself from: a packed
// stream somewhere in the file.
func bannerOfZImage(raw []byte) string {
	tries := 0
	for _, magic := range []string{"\x1f\x8b\x08", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd"} {
		for at := 0; tries < maxTries; tries++ {
			i := bytes.Index(raw[at:], []byte(magic))
			if i < 0 {
				break
			}
			at += i
			if z, err := codec.NewReader(bytes.NewReader(raw[at:]), codec.Limits{Output: maxUnpacked}); err == nil {
				v := banner(z)
				z.Close()
				if v != "" {
					return v
				}
			}
			at++
		}
	}
	return ""
}

// compareVersions orders versions of kernels: numbers by value.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, restA := word(a)
		y, restB := word(b)
		n, err := strconv.Atoi(x)
		m, err2 := strconv.Atoi(y)
		c := cmp.Compare(x, y)
		if err == nil && err2 == nil {
			c = cmp.Compare(n, m)
		}
		if c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return cmp.Compare(len(a), len(b))
}

// word cuts off the digits that s begins with, or what stands before the next.
func word(s string) (word, rest string) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	n := 1
	for n < len(s) && digit(s[n]) == digit(s[0]) {
		n++
	}
	return s[:n], s[n:]
}

// fits tells whether programs of a machine run on the kernel. A 64-bit kernel
// could run 32-bit programs; Raspberry Pi's with pages of 16 KiB cannot.
func (k *kernel) fits(m elf.Machine) bool {
	return k.bits == 64 && m == elf.EM_AARCH64 || k.bits == 32 && m == elf.EM_ARM
}

// runsOn tells whether the board's CPU runs the kernel. Raspberry Pi's own
// 32-bit kernels go by their names, as the firmware has it: each family has
// one. Its 64-bit kernels run on all that have 64 bit.
func (k *kernel) runsOn(b boards.Board) bool {
	if !b.Runs(k.bits) || b.ISA != "" && k.isa != "" && b.ISA != k.isa {
		return false
	}
	name := path.Base(k.file)
	if b.Pi == nil || !strings.HasPrefix(name, "kernel") || !strings.HasSuffix(name, ".img") {
		return true
	}
	if k.bits == 64 {
		return slices.Contains(b.Pi.Kernels64, name)
	}
	for _, n := range b.Pi.Kernels32 {
		if _, err := fs.Stat(k.fsys, path.Join(path.Dir(k.file), n)); err == nil {
			return n == name
		}
	}
	return false
}

// lacks tells which of the board's needs the kernel has no driver for.
func (k *kernel) lacks(b boards.Board) []string {
	var what []string
	for _, n := range b.Needs {
		if !slices.ContainsFunc(n.Any, k.tree.has) {
			what = append(what, n.What)
		}
	}
	return what
}

// downstream tells whether it is one of Raspberry Pi's own kernels, by drivers
// that kernel.org's never had. The firmware must be told of the others, and
// then looks for their names of device trees and leaves out its own changes.
func (k *kernel) downstream() bool {
	return slices.ContainsFunc([]string{"bcm2835_mmc", "bcm2835_sdhost", "dwc_otg", "rp1_mailbox"}, k.tree.has)
}

// A found file is a device tree with its name on the medium.
type found struct {
	fsys fs.FS
	at   string
	name string
}

// trees finds the board's device trees that belong to the kernel. Those of a
// boot part belong to what that part boots.
func (k *kernel) trees(b boards.Board) []found {
	var list []found
	names := b.Trees
	if b.Pi != nil {
		names = b.DeviceTrees()
	}
	for _, name := range names {
		for _, p := range k.treePlaces() {
			at := p.at
			if p.flat {
				at = path.Join(at, path.Base(name))
			} else {
				at = path.Join(at, name)
			}
			if fi, err := fs.Stat(p.fsys, at); err == nil && !fi.IsDir() {
				list = append(list, found{p.fsys, at, name})
				break
			}
		}
	}
	return list
}

type treePlace struct {
	fsys fs.FS
	at   string
	flat bool // without the vendor's folder
}

// treePlaces are where distributions keep device trees: Debian and Raspberry Pi
// OS, Ubuntu, Armbian.
func (k *kernel) treePlaces() []treePlace {
	var list []treePlace
	r := Merge(k.tree.fsys)
	for _, dir := range []string{"usr/lib/linux-image-" + k.version, "lib/firmware/" + k.version + "/device-tree", "boot/dtbs/" + k.version, "boot/dtb-" + k.version} {
		list = append(list, treePlace{r, dir, false}, treePlace{r, dir + "/broadcom", true}, treePlace{r, dir, true})
	}
	if k.inBoot {
		dir := path.Dir(k.file)
		list = append(list, treePlace{k.fsys, dir, true}, treePlace{k.fsys, path.Join(dir, "dtbs"), false}, treePlace{k.fsys, path.Join(dir, "dtb"), false})
	}
	return list
}
