package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// What limits a line of config.txt: documentation, "File format" (98
// characters, 78 on older firmware), and the firmware's own scan pattern
// "initramfs %64s followkernel".
const (
	maxLine      = 98
	maxInitramfs = 64
	maxIncludes  = 8 // ours: an include may include itself
	maxAutoboot  = 512
)

// A config is what of config.txt applies to one board, the last line of each
// kind winning.
type config struct {
	values map[string]string
	first  map[string]string // from config.txt itself: the first stages read no include
	lists  map[string][]string
	notes  []string

	// state of the reader
	boot part
	filter
}

// A filter holds the sections that are in force: sections of one kind replace
// each other, those of different kinds add up.
type filter struct {
	b     Board
	o     FirmwareOptions
	kinds map[string]bool
}

// passes tells whether lines count now.
func (f *filter) passes() bool {
	for _, ok := range f.kinds {
		if !ok {
			return false
		}
	}
	return true
}

// section takes what stands between '[' and ']'. It tells of sections whose
// outcome cannot be known here; those count as not met.
func (f *filter) section(s string) (known bool) {
	name, value, _ := strings.Cut(s, "=")
	switch {
	case s == "all":
		clear(f.kinds)
	case s == "none":
		f.kinds["none"] = false
	case s == "tryboot":
		f.kinds["tryboot"] = f.o.Tryboot
	case name == "board-type":
		n, err := strconv.ParseInt(value, 0, 32)
		f.kinds["model"] = err == nil && slices.Contains(f.b.Pi.Types, int(n))
	case name == "partition" || name == "boot_partition":
		n, err := strconv.Atoi(value)
		f.kinds[name] = err == nil && n == max(f.o.Part, 1)
	case strings.HasPrefix(s, "0x"):
		f.kinds["serial"] = sameSerial(s, f.o.Serial)
	case strings.HasPrefix(s, "HDMI:"):
		// it selects a port, not lines
	case strings.HasPrefix(s, "pi") || strings.HasPrefix(s, "cm"):
		f.kinds["model"] = slices.Contains(f.b.Pi.Filters, s)
	default:
		kind := strings.TrimRight(name, "0123456789")
		f.kinds[kind] = false
		return false
	}
	return true
}

// sameSerial compares serial numbers as numbers: "0x12345678" is the board
// with the serial "0000000012345678".
func sameSerial(section, serial string) bool {
	a, err := strconv.ParseUint(section, 0, 64)
	b, berr := strconv.ParseUint(strings.TrimPrefix(serial, "0x"), 16, 64)
	return err == nil && berr == nil && a == b
}

// readConfig reads a file as the firmware does.
func readConfig(boot part, name string, b Board, o FirmwareOptions) (*config, error) {
	c := &config{
		values: map[string]string{}, first: map[string]string{}, lists: map[string][]string{},
		boot: boot, filter: filter{b: b, o: o, kinds: map[string]bool{}},
	}
	text, err := boot.text(name)
	if err != nil {
		return nil, err
	}
	c.read(name, text, 0)
	return c, nil
}

func (c *config) read(name, text string, depth int) {
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, "\r \t")
		if len(line) > maxLine && !strings.HasPrefix(line, "#") {
			c.note("%s line %d is cut at %d characters", name, n+1, maxLine)
			line = line[:maxLine]
		}
		line = strings.TrimLeft(line, " \t")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section, _, _ := strings.Cut(line[1:], "]")
			if !c.section(section) {
				c.note("%s line %d: whether [%s] applies cannot be told; taken as no", name, n+1, section)
			}
		case c.passes():
			c.line(name, n+1, line, depth)
		}
	}
}

func (c *config) line(name string, n int, line string, depth int) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "include":
		c.include(strings.TrimSpace(rest), depth)
		return
	case "initramfs":
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return
		}
		if len(fields[0]) > maxInitramfs {
			c.note("%s line %d: the initramfs' name is cut at %d characters", name, n, maxInitramfs)
			fields[0] = fields[0][:maxInitramfs]
		}
		c.set("initramfs", fields[0], depth)
		return
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return
	}
	if key == "initramfs" {
		c.note("%s line %d does nothing: initramfs takes no '='", name, n)
		return
	}
	c.set(key, value, depth)
}

func (c *config) set(key, value string, depth int) {
	c.values[key] = value
	c.lists[key] = append(c.lists[key], value)
	if depth == 0 {
		c.first[key] = value
	}
}

func (c *config) include(name string, depth int) {
	if depth >= maxIncludes {
		c.note("include %s: too deep", name)
		return
	}
	text, err := c.boot.text(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.note("%s, to be included, is not there", name)
	case err != nil:
		c.note("include: %v", err)
	default:
		c.read(name, text, depth+1)
	}
}

func (c *config) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// number is a setting's value as the firmware takes it; ok where it is set.
func (c *config) number(key string) (n int64, ok bool) {
	v, ok := c.values[key]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 0, 64)
	return n, err == nil
}

func (c *config) on(key string) bool {
	n, ok := c.number(key)
	return ok && n != 0
}
