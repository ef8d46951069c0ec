package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"lifeboat/internal/speech"
)

// An entry is one label of extlinux.conf.
type entry struct{ label, kernel, initrd, fdt, fdtdir, append string }

// Extlinux tells what U-Boot would load by extlinux/extlinux.conf, looked for
// in dirs ("extlinux" and "boot/extlinux" where none is given), as
// boot/pxe_utils.c reads it: the default label, else the first. An error names
// everything that is missing; the chain beside it holds what was found.
func Extlinux(boot fs.FS, dirs ...string) (*Chain, error) {
	p := part{boot}
	if len(dirs) == 0 {
		dirs = []string{"extlinux", "boot/extlinux"}
	}
	for _, dir := range dirs {
		name := path.Join(dir, "extlinux.conf")
		text, err := p.text(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e, ok := defaultEntry(text)
		if !ok {
			return nil, fmt.Errorf("%s has no label with a kernel", name)
		}
		return p.follow(name, e)
	}
	return nil, fmt.Errorf("extlinux.conf: %w", fs.ErrNotExist)
}

// follow finds the files of an entry.
func (p part) follow(conf string, e entry) (*Chain, error) {
	c := &Chain{Config: conf, Cmdline: conf, Args: e.append}
	c.Trace = append(c.Trace, fmt.Sprintf("label %s of %s is booted", e.label, conf))
	var missing []speech.Text
	find := func(what speech.Text, name string) string {
		if !strings.HasPrefix(name, "/") {
			name = path.Join(path.Dir(conf), name)
		}
		at, ok := p.find(name)
		if !ok {
			missing = append(missing, speech.New("the %s %s is not there", what, name))
			return ""
		}
		return at
	}
	kernel, _, _ := strings.Cut(e.kernel, "#")
	c.Kernel = find(speech.New("kernel"), kernel)
	if e.initrd != "" {
		if at := find(speech.Plain("initrd"), e.initrd); at != "" {
			c.Initramfs = []string{at}
		}
	}
	switch {
	case e.fdt != "":
		c.DeviceTree = find(speech.New("device tree"), e.fdt)
	case e.fdtdir != "":
		c.DeviceTree = strings.Trim(e.fdtdir, "/") + "/"
		if fi, err := fs.Stat(p, path.Clean("./"+c.DeviceTree)); err != nil || !fi.IsDir() {
			missing = append(missing, speech.New("the folder of device trees %s is not there", e.fdtdir))
		}
	}
	if len(missing) > 0 {
		return c, &BootError{speech.New("label %s of %s would not boot: %s", e.label, conf, speech.Join(missing, "; "))}
	}
	return c, nil
}

// defaultEntry parses the file.
func defaultEntry(text string) (entry, bool) {
	var list []entry
	def := ""
	for _, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.IndexByte(key, '\t'); i >= 0 {
			key, value = key[:i], key[i:]+" "+value
		}
		value = strings.TrimSpace(value)
		switch key = strings.ToLower(key); key {
		case "default":
			def = value
		case "label":
			list = append(list, entry{label: value})
		default:
			if len(list) > 0 {
				list[len(list)-1].set(key, value)
			}
		}
	}
	first := -1
	for i, e := range list {
		if e.kernel != "" && e.label == def {
			return e, true
		}
		if e.kernel != "" && first < 0 {
			first = i
		}
	}
	if first < 0 {
		return entry{}, false
	}
	return list[first], true
}

func (e *entry) set(key, value string) {
	switch key {
	case "kernel", "linux", "fit":
		e.kernel = value
	case "initrd":
		e.initrd = value
	case "fdt", "devicetree":
		e.fdt = value
	case "fdtdir", "devicetreedir":
		e.fdtdir = value
	case "append":
		e.append = value
	}
}
