package identity

import (
	"regexp"
	"strconv"
	"strings"
)

// A token is a reference in a text, in one of the forms that kernels, initial
// RAM disks, mount and udev understand.
type token struct {
	kind       Kind
	value      string // as it is written
	start, end int    // of the value, in the text
	from, to   int    // of the whole token
}

// forms finds tokens that may be one; scan looks at what stands beside them.
// The alternatives are tried in their order.
var forms = regexp.MustCompile(
	`/dev/disk/by-(partuuid|uuid|label|partlabel)/([^\s"',;]+)` +
		`|(PARTUUID|UUID)=["']?([0-9A-Za-z-]+)` +
		`|(LABEL|PARTLABEL)=(?:"([^"\n]+)"|'([^'\n]+)'|([^\s"',;]+))` +
		`|(/dev/(?:(?:mmcblk|nvme\d+n)\d+p|(?:sd|vd|hd|xvd)[a-z]+)\d+)`)

// scan finds all tokens of a text.
func scan(text string) []token {
	var tokens []token
	for pos := 0; pos < len(text); {
		m := forms.FindStringSubmatchIndex(text[pos:])
		if m == nil {
			break
		}
		for i := range m {
			if m[i] >= 0 {
				m[i] += pos
			}
		}
		t := tokenOf(text, m)
		if standsAlone(text, t) {
			tokens = append(tokens, t)
			pos = t.to
		} else {
			pos = m[0] + 1
		}
	}
	return tokens
}

// tokenOf reads the groups of forms.
func tokenOf(text string, m []int) token {
	group := func(i int) (int, int, bool) { return m[2*i], m[2*i+1], m[2*i] >= 0 }
	t := token{from: m[0], to: m[1]}
	for _, g := range []int{2, 4, 6, 7, 8, 9} {
		if start, end, ok := group(g); ok {
			t.start, t.end, t.value = start, end, text[start:end]
		}
	}
	t.kind = Device
	for _, g := range []int{1, 3, 5} {
		if start, end, ok := group(g); ok {
			t.kind = Kind(strings.ToUpper(text[start:end]))
		}
	}
	return t
}

// standsAlone tells whether the token is not a piece of a longer word: neither
// /dev/mmcblk0p2 in /dev/mmcblk0p20 nor UUID= in PTUUID=.
func standsAlone(text string, t token) bool {
	if t.from > 0 && (isWord(text[t.from-1]) || text[t.from-1] == '/') {
		return false
	}
	if t.to == len(text) {
		return true
	}
	next := text[t.to]
	if t.kind == Device && next == '/' {
		return false // a file in a folder of that name
	}
	return !isWord(next)
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-' || c == '.'
}

// whole is the token that all of text is, quotes apart.
func whole(text string) (token, bool) {
	tokens := scan(text)
	if len(tokens) != 1 || tokens[0].from != 0 || strings.Trim(text[tokens[0].to:], `"'`) != "" {
		return token{}, false
	}
	return tokens[0], true
}

// plain is a value without the escapes of fstab (\040) and udev (\x20).
func plain(value string) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+3 < len(value) {
			digits, base := value[i+1:i+4], 8
			if digits[0] == 'x' {
				digits, base = digits[1:], 16
			}
			if c, err := strconv.ParseUint(digits, base, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return b.String()
}
