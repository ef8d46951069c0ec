package uinit

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/u-root/u-root/pkg/cmdline"
	"github.com/u-root/u-root/pkg/kmodule"
	"golang.org/x/sys/unix"
)

// A Loader loads kernel modules by name, by alias, and for every device there
// is. Its methods may be called from any goroutine.
type Loader struct {
	// config
	index  *index
	insert func(file, params string) error // loads one, by its place in the folder of modules
	params func(name string) string        // from the kernel's command line
	log    logger

	// state
	mu   sync.Mutex
	done map[string]error // by module: what loading it gave
	seen map[string]bool  // aliases of devices that were looked up
}

// NewLoader reads the indexes of the modules of the running kernel. A kernel
// without modules is no error: such a Loader finds nothing to load.
func NewLoader(logf func(format string, args ...any)) (*Loader, error) {
	dir, err := moduleDir()
	if err != nil {
		return nil, err
	}
	x, err := readIndex(os.DirFS(dir))
	if errors.Is(err, fs.ErrNotExist) {
		logger(logf).logf("no modules in %s: everything must be built into the kernel", dir)
		return newLoader(&index{}, nil, func(string) string { return "" }, logf), nil
	}
	if err != nil {
		return nil, fmt.Errorf("indexes of modules: %w", err)
	}
	line := cmdline.NewCmdLine()
	banned, _ := line.Flag("modprobe.blacklist")
	for _, name := range strings.Split(banned, ",") {
		x.banned[normal(name)] = true
	}
	insert := func(file, params string) error { return insertModule(filepath.Join(dir, file), params) }
	return newLoader(x, insert, line.FlagsForModule, logf), nil
}

// insertModule loads a module's file. u-root's Prober would also find it by its
// name, but not where that has both '-' and '_', as nls_iso8859-1, which every
// mount of a FAT may need (u-root v0.16.0, pkg/kmodule, findModPath).
func insertModule(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := kmodule.FileInit(f, params, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func newLoader(x *index, insert func(file, params string) error, params func(string) string, log logger) *Loader {
	return &Loader{index: x, insert: insert, params: params, log: log, done: map[string]error{}, seen: map[string]bool{}}
}

// moduleDir is where the modules of the running kernel lie.
func moduleDir() (string, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", fmt.Errorf("version of the kernel: %w", err)
	}
	dir := filepath.Join("/lib/modules", strings.TrimSpace(string(release)))
	if _, err := os.Stat(dir); err != nil {
		if usr := filepath.Join("/usr", dir); exists(usr) {
			return usr, nil
		}
	}
	return dir, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Load loads a module by its name, those that it needs before it. One that is
// loaded, or built into the kernel, is no error.
func (l *Loader) Load(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.load(normal(name))
}

// Alias loads each module that serves the alias of a device, or what the kernel
// asks for (as "fs-ext4"), and tells how many those are.
func (l *Loader) Alias(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alias(name)
}

func (l *Loader) alias(name string) int {
	modules := l.index.byAlias(name)
	for _, m := range modules {
		if err := l.load(m); err != nil {
			l.log.logf("for %s: %v", name, err)
		}
	}
	return len(modules)
}

func (l *Loader) load(name string) error {
	if err, known := l.done[name]; known {
		return err
	}
	l.done[name] = nil // ends circles
	file, there := l.index.files[name]
	switch {
	case l.index.builtin[name]:
		return nil
	case !there:
		l.done[name] = fmt.Errorf("module %s is not there", name)
		return l.done[name]
	}
	for _, soft := range l.index.before[name] {
		l.soft(soft)
	}
	for _, dep := range l.index.deps[name] { // by name, for the sake of their parameters
		if err := l.load(dep); err != nil {
			l.done[name] = fmt.Errorf("module %s needs %w", name, err)
			return l.done[name]
		}
	}
	if err := l.insert(file, strings.TrimSpace(l.params(name))); err != nil {
		l.done[name] = fmt.Errorf("module %s: %w", name, err)
		return l.done[name]
	}
	for _, soft := range l.index.behind[name] {
		l.soft(soft)
	}
	return nil
}

// soft loads what another module would like to have: an alias or a name. Most
// often one that is not there is built into the kernel.
func (l *Loader) soft(name string) {
	if l.alias(name) > 0 {
		return
	}
	if _, there := l.index.files[name]; !there {
		return
	}
	if err := l.load(name); err != nil {
		l.log.logf("wished for: %v", err)
	}
}

// Loaded is how many modules were asked for so far.
func (l *Loader) Loaded() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.done)
}

// ColdPlug loads the modules of every device under /sys that it has not seen
// yet, and tells how many modules were new. Devices appear behind others, so
// the caller repeats it until nothing is.
func (l *Loader) ColdPlug(sys fs.FS) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.done)
	// Every device that has an alias is on a bus. Of the two places where the
	// alias stands, uevent is the better one: a card's "mmc:block" is only there.
	devices, _ := fs.Glob(sys, "bus/*/devices/*/uevent")
	for _, file := range devices {
		text, err := fs.ReadFile(sys, file)
		if err != nil {
			continue // gone in the meantime
		}
		if name := ueventAlias(string(text)); name != "" && !l.seen[name] {
			l.seen[name] = true
			l.alias(name)
		}
	}
	return len(l.done) - before
}

// ueventAlias is the value of MODALIAS in lines of KEY=VALUE.
func ueventAlias(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "MODALIAS="); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

// List loads the modules that a file as /etc/modules names, one a line. Names
// that are not there are wishes, and only logged.
func (l *Loader) List(text string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if err := l.Load(f[0]); err != nil {
			l.log.logf("%v", err)
		}
	}
}

// Modprobe is the kernel's helper, called as modprobe -q -- fs-ext4: it loads
// what serves each alias, else the module of that name. It returns 0 where all
// were found and loaded, else 1.
func Modprobe(args []string, logf func(format string, args ...any)) int {
	l, err := NewLoader(logf)
	if err != nil {
		logger(logf).logf("modprobe: %v", err)
		return 1
	}
	return l.modprobe(args)
}

func (l *Loader) modprobe(args []string) int {
	code := 1
	for _, name := range args {
		if strings.HasPrefix(name, "-") {
			continue
		}
		code = 0
		if l.Alias(name) == 0 && l.Load(name) != nil {
			return 1
		}
	}
	return code
}
