package netboot

import (
	"cmp"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// BoardFacts say who this board is, as far as it knows.
type BoardFacts struct {
	Serial     string   // lower case; "" = the board has none
	Model      string   // "Raspberry Pi 4 Model B Rev 1.4"; "" = not known
	Compatible []string // device tree names, most exact first
	MACs       []string // of links that are hardware, lower case with colons, sorted
}

// Names are what the board is known by in a job's file name: serial (for a
// Raspberry Pi also its short form, as in TFTP folders), then MACs with
// dashes.
func (b BoardFacts) Names() []string {
	var names []string
	for _, s := range serials(b.Serial) {
		if plainName(s) {
			names = append(names, s)
		}
	}
	for _, m := range b.MACs {
		names = append(names, strings.ReplaceAll(m, ":", "-"))
	}
	return names
}

// serials are the forms of one serial: a Raspberry Pi's has 16 hex digits, and
// its firmware writes the last 8 of them without leading zeros.
func serials(s string) []string {
	if s == "" {
		return nil
	}
	if len(s) != 16 || strings.Trim(s, "0123456789abcdef") != "" {
		return []string{s}
	}
	short := strings.TrimLeft(s[8:], "0")
	if short == "" {
		return []string{s}
	}
	return []string{s, short}
}

func plainName(s string) bool {
	return strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz-_.") == "" && strings.Trim(s, ".") != ""
}

// Board reads who this board is from /proc and /sys: the device tree, else the
// tables of a PC's firmware. Where neither is there, only MACs are known.
func Board(proc, sys fs.FS) BoardFacts {
	b := BoardFacts{MACs: macs(sys)}
	tree := func(name string) string {
		return cmp.Or(fact(proc, "device-tree/"+name), fact(sys, "firmware/devicetree/base/"+name))
	}
	dmi := func(name string) string { return genuine(fact(sys, "class/dmi/id/"+name)) }

	b.Model = oneLine(cmp.Or(tree("model"), strings.TrimSpace(dmi("sys_vendor")+" "+dmi("product_name"))))
	b.Serial = strings.ToLower(oneLine(cmp.Or(tree("serial-number"), cpuSerial(proc), dmi("product_serial"), dmi("board_serial"))))
	for _, c := range strings.Split(tree("compatible"), "\x00") {
		if c = oneLine(c); c != "" {
			b.Compatible = append(b.Compatible, c)
		}
	}
	return b
}

const maxFact = 4096 // bytes read of one of these files

// fact is a file's text without the zero or line feed at its end; "" where it
// cannot be read.
func fact(fsys fs.FS, name string) string {
	f, err := fsys.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFact))
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(data), "\x00\n ")
}

// cpuSerial is the line "Serial" of /proc/cpuinfo: kernels for 32-bit boards
// have it where the device tree has no serial.
func cpuSerial(proc fs.FS) string {
	for line := range strings.Lines(fact(proc, "cpuinfo")) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == "Serial" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// genuine drops what makers of PC boards leave in their tables.
func genuine(s string) string {
	fillers := []string{"to be filled by o.e.m.", "default string", "not specified", "none", "0", "system serial number", "123456789", "n/a"}
	if slices.Contains(fillers, strings.ToLower(strings.TrimSpace(s))) {
		return ""
	}
	return s
}

// oneLine replaces what does not print by spaces.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s))
}

func macs(sys fs.FS) []string {
	links, _ := fs.ReadDir(sys, "class/net")
	var out []string
	for _, l := range links {
		dir := path.Join("class/net", l.Name())
		if _, err := fs.Stat(sys, dir+"/device"); err != nil {
			continue // lo, bridges and the like are not hardware
		}
		mac := strings.ToLower(fact(sys, dir+"/address"))
		if len(mac) == len("00:00:00:00:00:00") && strings.Trim(mac, "0:") != "" && strings.Trim(mac, "0123456789abcdef:") == "" {
			out = append(out, mac)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
