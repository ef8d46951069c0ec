package disk

import (
	"fmt"
	"strconv"
	"strings"
)

// A Number is a device number: names move, it does not while the device stays.
type Number struct{ Major, Minor uint32 }

func (n Number) String() string { return fmt.Sprintf("%d:%d", n.Major, n.Minor) }

// ParseNumber reads a number as the kernel writes it: "179:2".
func ParseNumber(text string) (Number, error) {
	major, minor, ok := strings.Cut(strings.TrimSpace(text), ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return Number{}, fmt.Errorf("device number %q is not two numbers", text)
	}
	return Number{uint32(a), uint32(b)}, nil
}

// A Mount is one line of mountinfo (proc(5)).
type Mount struct {
	Number   Number
	Point    string // where it is mounted
	Type     string // of the file system
	Source   string
	Options  []string // of the file system, not of the mount
	ReadOnly bool     // the file system: a mount may be so alone
}

// ParseMounts reads the text of mountinfo. A line has six fields, then any
// number of optional ones (in a rescue system none, elsewhere one or two), a
// "-", and three more, the last of which old kernels may leave out.
func ParseMounts(text string) ([]Mount, error) {
	var mounts []Mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 2 {
			return nil, fmt.Errorf("mountinfo: line %q is not understood", line)
		}
		no, err := ParseNumber(left[2])
		if err != nil {
			return nil, fmt.Errorf("mountinfo: %w", err)
		}
		m := Mount{Number: no, Point: Unescape(left[4]), Type: right[0], Source: Unescape(right[1])}
		if len(right) > 2 {
			m.Options = strings.Split(right[2], ",")
			m.ReadOnly = m.Options[0] == "ro"
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// Option is the value of one of the file system's options, "" without it.
func (m Mount) Option(name string) string {
	for _, o := range m.Options {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return Unescape(value)
		}
	}
	return ""
}

// Unescape undoes the octal escapes of space, tab, newline, backslash and hash
// that the kernel writes into mountinfo and swaps.
func Unescape(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(text)
}
