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
	files   map[string]string   // by name, relative to the folder
	deps    map[string][]string // all of them, in the order in which they are loaded
	builtin map[string]bool     // part of the kernel
	banned  map[string]bool     // not loaded by an alias
}

type alias struct{ pattern, module string }

// readIndex reads modules.dep, .alias, .softdep and .builtin of a folder as
// /lib/modules/VERSION. Without modules.dep there are no modules, which is an
// error that wraps fs.ErrNotExist; the others may be missing.
func readIndex(dir fs.FS) (*index, error) {
	x := &index{banned: map[string]bool{}}
	for _, f := range []struct {
		name  string
		parse func(text string)
	}{
		{"modules.dep", func(text string) { x.files, x.deps = parseDeps(text) }},
		{"modules.alias", func(text string) { x.aliases = parseAliases(text) }},
		{"modules.softdep", func(text string) { x.before, x.behind = parseSoftdeps(text) }},
		{"modules.builtin", func(text string) { x.builtin = parseBuiltin(text) }},
	} {
		text, err := fs.ReadFile(dir, f.name)
		if err != nil && (f.name == "modules.dep" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		f.parse(string(text))
	}
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
func parseDeps(text string) (files map[string]string, deps map[string][]string) {
	files, deps = map[string]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		file, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		var first []string
		for _, f := range strings.Fields(rest) {
			first = append([]string{moduleName(f)}, first...)
		}
		name := moduleName(file)
		files[name], deps[name] = file, first
	}
	return files, deps
}

// parseBuiltin reads lines of paths.
func parseBuiltin(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		out[moduleName(strings.TrimSpace(line))] = true
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
