package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A tree is lib/modules/VERSION of one kernel.
type tree struct {
	fsys    fs.FS
	version string
	base    string              // in fsys
	files   map[string]string   // name of a module to its file below base
	builtin map[string]bool     // names
	aliases map[string][]string // exact aliases to names, where the system's depmod left them
}

// moduleFolders are where kernels' modules lie.
func moduleFolders() []string { return []string{"lib/modules", "usr/lib/modules"} }

// versions lists the kernels that a root file system has modules for, sorted.
func versions(root fs.FS) []string {
	var list []string
	for _, dir := range moduleFolders() {
		entries, err := fs.ReadDir(root, dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(list, e.Name()) {
				list = append(list, e.Name())
			}
		}
	}
	slices.Sort(list)
	return list
}

// openTree finds the modules of a kernel. fs.ErrNotExist: there are none.
func openTree(root fs.FS, version string) (*tree, error) {
	for _, dir := range moduleFolders() {
		t := &tree{fsys: root, version: version, base: path.Join(dir, version), files: map[string]string{}, builtin: map[string]bool{}, aliases: map[string][]string{}}
		err := fs.WalkDir(root, t.base, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if name == path.Join(t.base, "build") || name == path.Join(t.base, "source") {
				if d.IsDir() {
					return fs.SkipDir // headers and sources of the kernel
				}
				return nil
			}
			if !d.IsDir() && isModule(name) {
				t.add(strings.TrimPrefix(name, t.base+"/"))
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("modules of %s: %w", version, err)
		}
		t.readLists()
		return t, nil
	}
	return nil, fmt.Errorf("modules of kernel %s: %w", version, fs.ErrNotExist)
}

// add takes a module's file; one in updates/ goes before the kernel's own, as
// with depmod.
func (t *tree) add(file string) {
	name := moduleName(file)
	if old, ok := t.files[name]; ok && !strings.HasPrefix(file, "updates/") && old != "" {
		return
	}
	t.files[name] = file
}

func (t *tree) readLists() {
	text, _ := readFile(t.fsys, path.Join(t.base, "modules.builtin"), maxModule)
	for _, line := range strings.Fields(string(text)) {
		t.builtin[moduleName(line)] = true
	}
	text, _ = readFile(t.fsys, path.Join(t.base, "modules.alias"), maxModule)
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "alias" && !strings.ContainsAny(f[1], "*?[") {
			t.aliases[norm(f[1])] = append(t.aliases[norm(f[1])], norm(f[2]))
		}
	}
}

// has tells whether the kernel has a driver, as module or built in.
func (t *tree) has(name string) bool {
	return t.files[norm(name)] != "" || t.builtin[norm(name)]
}

// A closure is a set of modules with all that they depend on.
type closure struct {
	tree *tree
	set  map[string]*module
	rep  KernelReport
}

// close gathers wishes and all that they need. Absent wishes are told, an
// absent hard dependency is an error: that module could not be loaded.
func (t *tree) close(wishes []string) (*closure, error) {
	c := &closure{tree: t, set: map[string]*module{}, rep: KernelReport{Version: t.version}}
	for _, w := range wishes {
		w = norm(w)
		switch {
		case t.files[w] != "":
			if err := c.visit(w); err != nil {
				return nil, err
			}
		case t.builtin[w]:
			c.rep.Built = append(c.rep.Built, w)
		default:
			c.rep.Absent = append(c.rep.Absent, w)
		}
	}
	for _, m := range c.sorted() {
		c.rep.Modules = append(c.rep.Modules, m.name)
		c.rep.Bytes += int64(len(m.raw))
	}
	return c, nil
}

func (c *closure) visit(name string) error {
	if c.set[name] != nil || c.tree.builtin[name] && c.tree.files[name] == "" {
		return nil
	}
	file := c.tree.files[name]
	if file == "" {
		return fmt.Errorf("kernel %s: module %s is needed by others and not there", c.tree.version, name)
	}
	m, err := readModule(c.tree.fsys, c.tree.base, file)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", c.tree.version, err)
	}
	c.set[name] = m
	for _, d := range m.deps {
		if err := c.visit(d); err != nil {
			return err
		}
	}
	for _, s := range append(slices.Clone(m.pre), m.post...) {
		for _, d := range c.tree.soft(s) {
			if err := c.visit(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// soft finds the modules that a soft dependency means: it may be a name or an
// alias. Without depmod's tables the aliases of crypto modules are told from
// their names: xxhash64 and crypto-xxhash64 are xxhash_generic.
func (t *tree) soft(s string) []string {
	s = norm(s)
	if t.files[s] != "" {
		return []string{s}
	}
	if list := t.aliases[s]; len(list) > 0 {
		return slices.DeleteFunc(slices.Clone(list), func(n string) bool { return t.files[n] == "" })
	}
	name := strings.TrimPrefix(s, "crypto_")
	for _, n := range []string{name, strings.TrimRight(name, "0123456789_")} {
		for _, end := range []string{"_generic", ""} {
			if t.files[n+end] != "" {
				return []string{n + end}
			}
		}
	}
	return nil
}

func (c *closure) sorted() []*module {
	list := make([]*module, 0, len(c.set))
	for _, m := range c.set {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *module) int { return strings.Compare(a.file, b.file) })
	return list
}

// all lists everything that a module needs. As depmod has it, each stands
// before what it needs itself: loaded from the last to the first, none lacks
// anything.
func (c *closure) all(m *module) []*module {
	var list []*module
	seen := map[*module]bool{m: true}
	var walk func(*module)
	walk = func(m *module) {
		for _, d := range m.deps {
			if x := c.set[d]; x != nil && !seen[x] {
				seen[x] = true
				walk(x)
				list = append(list, x)
			}
		}
	}
	walk(m)
	slices.Reverse(list)
	return list
}

// tables writes what depmod would: the whole list of dependencies of each
// module, aliases, and soft dependencies.
func (c *closure) tables() (dep, alias, soft string) {
	var d, a, s strings.Builder
	for _, m := range c.sorted() {
		d.WriteString(m.file + ":")
		for _, x := range c.all(m) {
			d.WriteString(" " + x.file)
		}
		d.WriteString("\n")
		for _, x := range m.aliases {
			fmt.Fprintf(&a, "alias %s %s\n", x, m.name)
		}
		if len(m.pre)+len(m.post) > 0 {
			fmt.Fprintf(&s, "softdep %s", m.name)
			if len(m.pre) > 0 {
				s.WriteString(" pre: " + strings.Join(m.pre, " "))
			}
			if len(m.post) > 0 {
				s.WriteString(" post: " + strings.Join(m.post, " "))
			}
			s.WriteString("\n")
		}
	}
	return d.String(), a.String(), s.String()
}
