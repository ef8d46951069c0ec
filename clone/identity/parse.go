package identity

import (
	"slices"
	"strings"
)

// arguments reads a kernel's command line.
func arguments(line string) []Ref {
	var refs []Ref
	for _, word := range words(line) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			continue
		}
		r := Ref{Use: key + "=", Optional: key == "resume"}
		tokens := scan(value)
		switch {
		case len(tokens) > 0 && tokens[0].from == 0:
			r.Kind, r.Value = tokens[0].kind, tokens[0].value
			if rest := value[tokens[0].to:]; strings.HasPrefix(rest, partnroff) {
				r.Value += rest
			}
		case key == "root":
			r.Value = strings.Trim(value, `"`)
		default:
			continue
		}
		refs = append(refs, r)
	}
	return refs
}

// partnroff counts on from a part: Linux v6.12, block/early-lookup.c.
const partnroff = "/PARTNROFF="

// words splits as the kernel does: at white space outside of double quotes.
func words(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r')
	})
}

// fstab: fstab(5).
func fstab(line string) []Ref {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	t, ok := whole(fields[0])
	if !ok {
		return nil // tmpfs, //server/share, /swapfile, /dev/mapper/…
	}
	use, options := "fstab "+fields[1], ""
	isSwap := len(fields) > 2 && fields[2] == "swap"
	if isSwap {
		use = "fstab swap"
	}
	if len(fields) > 3 {
		options = fields[3]
	}
	return []Ref{{Use: use, Kind: t.kind, Value: t.value, Optional: isSwap || spared(options)}}
}

// crypttab: crypttab(5).
func crypttab(line string) []Ref {
	fields := strings.Fields(line)
	if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	t, ok := whole(fields[1])
	if !ok {
		return nil
	}
	return []Ref{{
		Use: "crypttab " + fields[0], Kind: t.kind, Value: t.value,
		Optional: len(fields) > 3 && spared(fields[3]),
	}}
}

// spared tells whether the boot goes on without the entry.
func spared(options string) bool {
	list := strings.Split(options, ",")
	return slices.Contains(list, "nofail") || slices.Contains(list, "noauto")
}

// extlinux: the lines that hold arguments. Kernel and folders are paths.
func extlinux(line string) []Ref {
	line = strings.TrimSpace(line)
	key := line[:strings.IndexAny(line+" ", " \t")]
	if !strings.EqualFold(key, "append") {
		return nil
	}
	return arguments(line[len(key):])
}

// settings reads KEY=VALUE, and U-Boot's `setenv KEY VALUE`. A value may be a
// reference itself, or arguments that hold some.
func settings(line string) []Ref {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "setenv "); ok {
		key, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		line = key + "=" + strings.TrimSpace(value)
	}
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return nil
	}
	value = strings.Trim(strings.TrimSpace(value), `"'`)
	if t, ok := whole(value); ok {
		return []Ref{{Use: strings.TrimSpace(key) + "=", Kind: t.kind, Value: t.value}}
	}
	refs := arguments(value)
	return slices.DeleteFunc(refs, func(r Ref) bool {
		return r.Kind == Other && strings.Contains(r.Value, "$") // filled in by a script
	})
}

// autoboot reads the parts that the Raspberry Pi's firmware is sent to.
func autoboot(line string) []Ref {
	value, ok := strings.CutPrefix(strings.TrimSpace(line), "boot_partition=")
	if !ok {
		return nil
	}
	return []Ref{{Use: "boot_partition=", Kind: Number, Value: strings.TrimSpace(value)}}
}

// optional makes a parser's references such that the boot goes on without.
func optional(parse parser) parser {
	return func(line string) []Ref {
		refs := parse(line)
		for i := range refs {
			refs[i].Optional = true
		}
		return refs
	}
}
