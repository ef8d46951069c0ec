package fat

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxName is the longest name, in UTF-16 units: Linux v6.12,
// include/uapi/linux/msdos_fs.h, FAT_LFN_LEN.
const maxName = 255

// cp437 is what short names mean by the bytes 128 to 255: the code page that
// Linux takes where no other is asked for.
var cp437 = []rune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ")

// An alias is a short name as it lies in a directory: eight and three
// characters, filled with spaces.
type alias [11]byte

// checksum ties the slots of a long name to their alias.
func (a alias) checksum() byte {
	var s byte
	for _, c := range a {
		s = s>>1 | s<<7 + c
	}
	return s
}

// Flags of a short name whose halves Windows NT shows in lower case.
const lowerBase, lowerExt = 0x08, 0x10

// name is what a person sees of the alias.
func (a alias) name(flags byte) string {
	if a[0] == 0x05 { // 0xe5 would mean a free slot
		a[0] = 0xe5
	}
	half := func(b []byte, lower bool) string {
		s := decode437(bytes.TrimRight(b, " "))
		if lower {
			s = strings.ToLower(s)
		}
		return s
	}
	base, ext := half(a[:8], flags&lowerBase != 0), half(a[8:], flags&lowerExt != 0)
	if ext != "" {
		return base + "." + ext
	}
	if base == "" {
		return "_"
	}
	return base
}

// decode437 decodes a part of a short name. What no name may hold comes out
// as "_": a directory can be damaged, its names still name files.
func decode437(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		switch {
		case c >= 0x80:
			s.WriteRune(cp437[c-0x80])
		case c < 0x20 || c == '/':
			s.WriteByte('_')
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}

// longName decodes the UTF-16 of a long name; "" where that is no name that a
// file could have.
func longName(u []uint16) string {
	for i, c := range u {
		if c == 0 {
			u = u[:i]
			break
		}
	}
	s := string(utf16.Decode(u))
	if s == "." || s == ".." || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == '/' }) {
		return ""
	}
	return s
}

// checkName tells whether Linux and Windows take name for a new file.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("name %q: %w", name, fs.ErrInvalid)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q is not UTF-8: %w", name, fs.ErrInvalid)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("name %q ends in a dot or a space: %w", name, fs.ErrInvalid)
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(`"*/:<>?\|`, r) }):
		return fmt.Errorf("name %q has characters that FAT does not allow: %w", name, fs.ErrInvalid)
	case len(utf16.Encode([]rune(name))) > maxName:
		return fmt.Errorf("name %q is longer than %d characters: %w", name, maxName, fs.ErrInvalid)
	}
	return nil
}

// shorten makes the alias that name would like to have. With exact it says all
// of the name: no long one is needed. Without fits something of the name is
// lost, and the alias needs a number.
func shorten(name string) (a alias, exact, fits bool) {
	a = alias([]byte("           "))
	fits = true
	trimmed := strings.TrimLeft(name, ". ")
	ext := path.Ext(trimmed)
	base := strings.TrimSuffix(trimmed, ext)
	if trimmed != name {
		fits = false
	}
	put := func(dst []byte, s string) {
		n := 0
		for _, r := range s {
			c, ok := shortChar(r)
			fits = fits && ok
			if c == 0 {
				continue
			}
			if n == len(dst) {
				fits = false
				return
			}
			dst[n] = c
			n++
		}
	}
	put(a[:8], base)
	put(a[8:], strings.TrimPrefix(ext, "."))
	if a[0] == ' ' {
		a[0], fits = '_', false
	}
	return a, fits && a.name(0) == name, fits
}

// shortChar is what stands for r in an alias, 0 for nothing at all; ok if it
// says the same but for its case.
func shortChar(r rune) (c byte, ok bool) {
	switch {
	case r == ' ' || r == '.':
		return 0, false
	case r >= 'a' && r <= 'z':
		return byte(r - 'a' + 'A'), true
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("$%'-_@~`!(){}^#&", r):
		return byte(r), true
	}
	return '_', false
}

// uniqueAlias makes an alias for name that is not taken, and tells whether it
// says all of the name.
func uniqueAlias(name string, taken map[alias]bool) (a alias, exact bool, err error) {
	a, exact, fits := shorten(name)
	if fits && !taken[a] {
		return a, exact, nil
	}
	base := bytes.TrimRight(a[:8], " ")
	for n := 1; n < 1e6; n++ {
		tail := "~" + strconv.Itoa(n)
		try := a
		copy(try[:8], "        ")
		k := copy(try[:8-len(tail)], base)
		copy(try[k:8], tail)
		if !taken[try] {
			return try, false, nil
		}
	}
	return a, false, fmt.Errorf("no short name is left for %q", name)
}

// fold is a name's key: names that are one to FAT, which has no case, have the
// same.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			if r >= 'a' && r <= 'z' {
				r -= 'a' - 'A'
			}
			return r
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}
