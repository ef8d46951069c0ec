package boards

import (
	"strings"

	"lifeboat/internal/speech"
)

// The names that say a kernel's width where a kernel= line has one of them.
func widthByName(kernel string) int {
	switch kernel {
	case "kernel8.img", "kernel_2712.img":
		return 64
	case "kernel.img", "kernel7.img", "kernel7l.img", "kernel8-32.img":
		return 32
	}
	return 0
}

// os gives a file of the operating system its place: below the prefix, unless
// its name is absolute.
func (l *loader) os(name string) string {
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		return rest
	}
	return l.prefix + name
}

// choosePrefix takes os_prefix where a kernel and a device tree are there with
// it, as the firmware does.
func (l *loader) choosePrefix() {
	want, ok := l.cfg.values["os_prefix"]
	if !ok && l.cfg.on("upstream_kernel") {
		want = "upstream/"
	}
	if want == "" {
		return
	}
	l.prefix = want
	kernel, _ := l.kernelName()
	tree, wanted := l.treeName()
	if l.boot.has(l.os(kernel)) && (!wanted || l.boot.has(l.os(tree))) {
		l.trace("the prefix %s is taken: %s and %s are there with it", want, kernel, tree)
		return
	}
	l.prefix = ""
	if ok {
		l.trace("the prefix %s is dropped: kernel and device tree are not both there with it", want)
	}
}

// kernelName is the kernel's name without the prefix, and the mode it is
// started in.
func (l *loader) kernelName() (name string, bits int) {
	bits, fixed := l.mode()
	if name := l.cfg.values["kernel"]; name != "" {
		if n := widthByName(name); n != 0 && l.b.Runs(n) {
			bits = n
		}
		return name, bits
	}
	first := l.candidates(bits)
	for _, name := range first {
		if l.boot.has(l.os(name)) {
			return name, bits
		}
	}
	other := 32 + 64 - bits
	if !fixed && l.b.Runs(other) {
		for _, name := range l.candidates(other) {
			if l.boot.has(l.os(name)) {
				return name, other
			}
		}
	}
	return first[0], bits
}

// mode is the width that arm_64bit or the board's default asks for; fixed where
// the files have no say.
func (l *loader) mode() (bits int, fixed bool) {
	n, set := l.cfg.number("arm_64bit")
	switch {
	case !l.b.Runs(64):
		return 32, true
	case !l.b.Runs(32):
		return 64, true
	case set && n != 0:
		return 64, true
	case set:
		return 32, true
	case l.b.Pi.Default64:
		return 64, false
	}
	return 32, false
}

func (l *loader) candidates(bits int) []string {
	if bits == 64 {
		return l.b.Pi.Kernels64
	}
	return l.b.Pi.Kernels32
}

func (l *loader) kernel() {
	name, bits := l.kernelName()
	l.chain.Bits = bits
	at, ok := l.need(l.os(name))
	if !ok {
		return
	}
	l.chain.Kernel = at
	why := "the first default name that is there"
	if l.cfg.values["kernel"] != "" {
		why = "a kernel= line"
	}
	l.trace("the kernel is %s, by %s, started in %d-bit mode", at, why, bits)
	switch k := l.boot.sniff(at); {
	case k.Packed != "" && k.Packed != "gzip":
		l.problem(speech.New("%s is packed with %s; the firmware takes a plain kernel or gzip", at, k.Packed))
	case k.Packed == "gzip" && bits == 32:
		l.problem(speech.New("%s is packed with gzip, which the firmware takes in 64-bit mode only", at))
	case k.Bits != 0 && k.Bits != bits && !l.b.Runs(k.Bits):
		l.problem(speech.New("%s is a %d-bit kernel, which its CPU does not run", at, k.Bits))
	case k.Bits == 64 && bits == 32:
		l.problem(speech.New("%s is a 64-bit kernel, and arm_64bit=1 is missing", at))
	case k.Bits == 32 && bits == 64:
		l.problem(speech.New("%s is a 32-bit kernel, and arm_64bit=0 is missing", at))
	}
}

// treeName is the device tree's name without the prefix; wanted is false where
// config.txt asks for none. Where none is there it is the first that would do.
func (l *loader) treeName() (name string, wanted bool) {
	if name, set := l.cfg.values["device_tree"]; set {
		return name, name != ""
	}
	p := l.b.Pi
	names := append(append([]string{}, p.Downstream...), p.Upstream...)
	if l.cfg.on("upstream_kernel") {
		names = append(append([]string{}, p.Upstream...), p.Downstream...)
	}
	for _, name := range names {
		if l.boot.has(l.os(name)) {
			return name, true
		}
	}
	return names[0], true
}

func (l *loader) tree() {
	name, wanted := l.treeName()
	if !wanted {
		l.trace("device_tree= is empty: the kernel gets none")
		return
	}
	at, ok := l.need(l.os(name))
	if !ok {
		return
	}
	l.chain.DeviceTree = at
	if why, set := l.cfg.values["device_tree"]; set && why != "" {
		l.trace("the device tree is %s, by a device_tree= line", at)
	} else {
		l.trace("the device tree is %s, the first of the model's names that is there", at)
	}
	if text, err := l.boot.head(at, 4); err == nil && text != "\xd0\x0d\xfe\xed" {
		l.problem(speech.New("%s is no device tree", at))
	}
	l.overlays()
}

// overlays tells of overlays that are asked for and not there: the firmware
// goes on without them.
func (l *loader) overlays() {
	dir, ok := l.cfg.values["overlay_prefix"]
	if !ok {
		dir = "overlays/"
	}
	if l.prefix != "" && l.boot.has(l.prefix+dir+"README") {
		dir = l.prefix + dir
	}
	for _, v := range l.cfg.lists["dtoverlay"] {
		name, _, _ := strings.Cut(v, ",")
		name, _, _ = strings.Cut(name, ":")
		if name != "" && !l.boot.has(dir+name+".dtbo") {
			l.trace("the overlay %s is not there, or goes by another name on this model; without it the firmware goes on", name)
		}
	}
}

func (l *loader) initramfs() {
	list, key := l.cfg.values["initramfs"], "initramfs"
	if list == "" {
		list, key = l.cfg.values["ramfsfile"], "ramfsfile"
	}
	if list == "" {
		l.autoInitramfs()
		return
	}
	for _, name := range strings.Split(list, ",") {
		if name == "" {
			continue
		}
		if at, ok := l.need(l.os(name)); ok {
			l.chain.Initramfs = append(l.chain.Initramfs, at)
			l.trace("the initramfs is %s, by a line %s", at, key)
		}
	}
}

// autoInitramfs finds the initramfs that belongs to a kernel's default name.
// None there is no fault. A Raspberry Pi 5 was seen to follow its own default
// name although kernel= said otherwise.
func (l *loader) autoInitramfs() {
	if !l.cfg.on("auto_initramfs") {
		return
	}
	kernel, _ := l.kernelName()
	if l.b.Pi.Start == "" && l.cfg.values["kernel"] != "" {
		kernel = l.b.Pi.Kernels64[0]
	}
	rest, ok := strings.CutPrefix(kernel, "kernel")
	if !ok {
		l.trace("auto_initramfs knows no name for the kernel %s", kernel)
		return
	}
	name := "initramfs" + strings.TrimSuffix(rest, ".img")
	if at, ok := l.boot.find(l.os(name)); ok {
		l.chain.Initramfs = []string{at}
		l.trace("the initramfs is %s, by auto_initramfs", at)
	}
}

func (l *loader) cmdline() {
	name := l.cfg.values["cmdline"]
	if name == "" {
		name = "cmdline.txt"
	}
	at, ok := l.need(l.os(name))
	if !ok {
		return
	}
	l.chain.Cmdline = at
	text, err := l.boot.text(at)
	if err != nil {
		l.problem(speech.Plain(err.Error()))
		return
	}
	first, rest, _ := strings.Cut(text, "\n")
	l.chain.Args = strings.TrimSpace(first)
	if strings.TrimSpace(rest) != "" {
		l.trace("%s has more than one line; the kernel is told the first only", at)
	}
}
