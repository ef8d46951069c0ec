package vmtest

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// umlModules is where Debian's package user-mode-linux has its modules, a folder
// for its one kernel.
const umlModules = "/usr/lib/uml/modules/*"

// packModules adds the wanted modules and those that they need to files, and
// returns them in the order of loading.
func packModules(wanted []string, files map[string]string) ([]module, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	dirs, err := filepath.Glob(umlModules)
	if err != nil || len(dirs) != 1 {
		return nil, fmt.Errorf("modules of User-Mode Linux: %d folders match %s", len(dirs), umlModules)
	}
	text, err := os.ReadFile(filepath.Join(dirs[0], "modules.dep"))
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{} // module's name → its file, then what that needs, last first
	for line := range strings.Lines(string(text)) {
		file, deps, _ := strings.Cut(line, ":")
		needs[moduleName(file)] = append([]string{file}, strings.Fields(deps)...)
	}
	var order []module
	for _, want := range wanted {
		name, params, _ := strings.Cut(want, " ")
		chain, ok := needs[moduleName(name)]
		if !ok {
			return nil, fmt.Errorf("User-Mode Linux has no module %s", name)
		}
		for _, file := range slices.Backward(chain) {
			m := module{Path: "/lib/modules/" + filepath.Base(file)}
			if file == chain[0] {
				m.Params = params
			}
			if !slices.ContainsFunc(order, func(o module) bool { return o.Path == m.Path }) {
				files[m.Path[1:]] = filepath.Join(dirs[0], file)
				order = append(order, m)
			}
		}
	}
	return order, nil
}

func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko"), "-", "_")
}

// Where programs and libraries are looked for; the order does not matter.
var (
	programPath = []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"}
	libraryPath = []string{
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib",
	}
)

// packProgram adds a program, its interpreter and the libraries that it is
// linked with to files.
func packProgram(name string, files map[string]string) error {
	path, err := findProgram(name)
	if err != nil {
		return err
	}
	files["bin/"+filepath.Base(name)] = path
	queue := []string{path}
	for len(queue) > 0 {
		needed, interp, err := linkedWith(queue[0])
		if err != nil {
			return fmt.Errorf("libraries of %s: %w", queue[0], err)
		}
		queue = queue[1:]
		if interp != "" {
			files[strings.TrimPrefix(interp, "/")] = interp
		}
		for _, lib := range needed {
			from, err := findIn(libraryPath, lib)
			if err != nil {
				return fmt.Errorf("library of %s: %w", name, err)
			}
			to := "lib/x86_64-linux-gnu/" + lib
			if _, have := files[to]; !have {
				files[to] = from
				queue = append(queue, from)
			}
		}
	}
	return nil
}

func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return findIn(programPath, name)
}

func findIn(dirs []string, name string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is in none of %v: %w", name, dirs, os.ErrNotExist)
}

// linkedWith reads what an ELF file asks the dynamic linker for.
func linkedWith(path string) (needed []string, interp string, err error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if s := f.Section(".interp"); s != nil {
		b, err := s.Data()
		if err != nil {
			return nil, "", err
		}
		interp = strings.TrimRight(string(b), "\x00")
	}
	needed, err = f.DynString(elf.DT_NEEDED)
	if errors.Is(err, elf.ErrNoSymbols) {
		err = nil // linked statically
	}
	return needed, interp, err
}
