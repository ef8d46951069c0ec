package uinit

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// An index is what depmod's files say. Names and aliases are normal.
type index struct {
	aliases []alias
	before  map[string][]string // softdeps: names or aliases
	behind  map[string][]string
	deps    map[string][]string // all of them, in the order in which they are loaded
	banned  map[string]bool     // not loaded by an alias
}

type alias struct{ pattern, module string }

// readIndex reads modules.alias, .softdep and .dep of a folder as
// /lib/modules/VERSION. Without modules.dep there are no modules, which is an
// error that wraps fs.ErrNotExist; the others may be missing.
func readIndex(dir fs.FS) (*index, error) {
	dep, err := fs.ReadFile(dir, "modules.dep")
	if err != nil {
		return nil, err
	}
	x := &index{deps: parseDeps(string(dep)), banned: map[string]bool{}}
	text, err := fs.ReadFile(dir, "modules.alias")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	x.aliases = parseAliases(string(text))
	if text, err = fs.ReadFile(dir, "modules.softdep"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	x.before, x.behind = parseSoftdeps(string(text))
	return x, nil
}

// parseAliases reads lines of "alias PATTERN MODULE". What is not one is skipped:
// depmod writes comments there.
func parseAliases(text string) []alias {
	var out []alias
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "alias" {
			out = append(out, alias{normal(f[1]), normal(f[2])})
		}
	}
	return out
}

// parseSoftdeps reads lines of "softdep MODULE pre: A B post: C".
func parseSoftdeps(text string) (before, behind map[string][]string) {
	before, behind = map[string][]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softdep" {
			continue
		}
		name := normal(f[1])
		var to map[string][]string
		for _, word := range f[2:] {
			switch word {
			case "pre:":
				to = before
			case "post:":
				to = behind
			default:
				if to != nil {
					to[name] = append(to[name], normal(word))
				}
			}
		}
	}
	return before, behind
}

// parseDeps reads lines of "PATH: PATH PATH", where the nearest dependency
// stands first: they are loaded from the end.
func parseDeps(text string) map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(text) {
		file, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		var deps []string
		for _, f := range strings.Fields(rest) {
			deps = append([]string{moduleName(f)}, deps...)
		}
		out[moduleName(file)] = deps
	}
	return out
}

// moduleName is the name of the module in a file, as /proc/modules has it.
func moduleName(file string) string {
	base := path.Base(file)
	if i := strings.Index(base, ".ko"); i >= 0 {
		base = base[:i]
	}
	return normal(base)
}

// byAlias are the modules whose pattern fits a device or what the kernel asks
// for.
func (x *index) byAlias(name string) []string {
	name = normal(name)
	var out []string
	for _, a := range x.aliases {
		if match(a.pattern, name) && !x.banned[a.module] {
			out = append(out, a.module)
		}
	}
	return out
}
