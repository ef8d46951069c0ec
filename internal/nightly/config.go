package nightly

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Config is what all layers say.
type Config struct {
	// state
	given map[string]value // by "keep" and by "schedule.weekly.keep"
	flags map[string]value // by "keep"
	names []string         // of the schedules
	files []string         // that were read
}

// A value is one that was given, and where.
type value struct {
	set   func(s *Settings) error
	where string // "/etc/lifeboat/lifeboat.toml:3", "--keep"
}

// Only is the name of the schedule of a configuration that has none.
const Only = "nightly"

// Layer is a file that may hold configuration.
type Layer struct {
	Path string
	Must bool // it is an error if it is not there
}

// Layers are the places of configuration, from weak to strong. home is the
// folder of who calls, file what was given with --config; each may be "".
func Layers(home, file string) []Layer {
	layers := []Layer{{Path: "/etc/lifeboat/lifeboat.toml"}}
	if home != "" {
		layers = append(layers, Layer{Path: filepath.Join(home, ".config/lifeboat/lifeboat.toml")})
	}
	layers = append(layers, Layer{Path: "lifeboat.toml"})
	if file != "" {
		layers = append(layers, Layer{file, true})
	}
	return layers
}

// Load reads all layers. Who calls is uid; files of others are refused.
func Load(layers []Layer, uid int) (*Config, error) {
	c := &Config{given: map[string]value{}, flags: map[string]value{}}
	for _, l := range layers {
		text, err := readOwn(l.Path, uid)
		if (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) && !l.Must { // a daemon's home can be /dev/null
			continue
		}
		if err == nil {
			err = c.add(l.Path, text)
		}
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
	}
	return c, nil
}

// readOwn reads a file that only root or the caller can have written: it names
// programs that root starts.
func readOwn(path string, uid int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", path)
	case owner != 0 && owner != uid:
		return "", fmt.Errorf("%s belongs to user %d, neither to root nor to you: it is not trusted", path, owner)
	case info.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("%s can be written by others (chmod go-w): it is not trusted", path)
	case info.Size() > maxFile:
		return "", fmt.Errorf("%s has %d bytes: at most %d are taken", path, info.Size(), maxFile)
	}
	text := make([]byte, info.Size())
	n, err := f.ReadAt(text, 0)
	if int64(n) != info.Size() {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), nil
}

// add takes the values of a file, which beat those that are there.
func (c *Config) add(path, text string) error {
	all, err := statements(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c.files = append(c.files, path)
	for _, g := range all {
		if err := c.take(g, fmt.Sprintf("%s:%d", path, g.line)); err != nil {
			return fmt.Errorf("%s:%d: %w", path, g.line, err)
		}
	}
	return nil
}

func (c *Config) take(g given, where string) error {
	path := g.path
	if len(path) > 2 && path[0] == "schedule" {
		if err := c.schedule(path[1]); err != nil {
			return err
		}
		path = path[2:]
	}
	if _, table := g.value.(map[string]any); table {
		return c.table(g.path, strings.Join(path, "."))
	}
	key, ok := keyOf(strings.Join(path, "."))
	if !ok {
		return fmt.Errorf("lifeboat knows no key %q%s", strings.Join(g.path, "."), similar(strings.Join(path, ".")))
	}
	if err := key.set(new(Defaults()), g.value); err != nil {
		return err
	}
	c.given[strings.Join(g.path, ".")] = value{func(s *Settings) error { return key.set(s, g.value) }, where}
	return nil
}

// table takes a heading: of a schedule, or of some of our keys.
func (c *Config) table(path []string, name string) error {
	if path[0] == "schedule" && len(path) == 2 {
		return c.schedule(path[1])
	}
	ours := slices.ContainsFunc(Keys(), func(k Key) bool { return strings.HasPrefix(k.Name, name+".") })
	if !ours && name != "schedule" {
		return fmt.Errorf("lifeboat knows no table %q", strings.Join(path, "."))
	}
	return nil
}

// CheckSchedule refuses a name that could not become part of those of files and
// units.
func CheckSchedule(name string) error {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' }
	if name == "" || len(name) > 32 || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("a schedule's name has a-z, 0-9 and _ only, not %q", name)
	}
	return nil
}

// schedule adds a name.
func (c *Config) schedule(name string) error {
	if err := CheckSchedule(name); err != nil {
		return err
	}
	if !slices.Contains(c.names, name) {
		c.names = append(c.names, name)
	}
	return nil
}

// Flag takes what was given as --KEY=TEXT. A list's flag can be given again.
func (c *Config) Flag(name string, texts ...string) error {
	key, ok := keyOf(name)
	if !ok {
		return fmt.Errorf("lifeboat knows no key %q", name)
	}
	set := func(s *Settings) error {
		if at, list := key.At(s).(*[]string); list {
			*at = slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return t == "" })
			return nil
		}
		return key.setText(s, texts[len(texts)-1])
	}
	c.flags[name] = value{set, "--" + FlagName(name)}
	return set(new(Defaults()))
}

// FlagName is a key as a flag.
func FlagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

// Schedules are the names of the schedules, in the order of the files.
func (c *Config) Schedules() []string {
	if len(c.names) == 0 {
		return []string{Only}
	}
	return slices.Clone(c.names)
}

// Has tells whether a schedule is configured.
func (c *Config) Has(schedule string) bool { return slices.Contains(c.Schedules(), schedule) }

// Of are the settings of a schedule, which Has.
func (c *Config) Of(schedule string) (Settings, error) {
	s := Defaults()
	for _, key := range Keys() {
		if v, ok := c.find(schedule, key.Name); ok {
			if err := v.set(&s); err != nil {
				return s, fmt.Errorf("%s: %w", v.where, err)
			}
		}
	}
	return s, nil
}

// Where is the place that a schedule's value comes from: "FILE:LINE", "--FLAG",
// or "default".
func (c *Config) Where(schedule, key string) string {
	if v, ok := c.find(schedule, key); ok {
		return v.where
	}
	return "default"
}

func (c *Config) find(schedule, key string) (value, bool) {
	for _, v := range []func() (value, bool){
		func() (value, bool) { v, ok := c.flags[key]; return v, ok },
		func() (value, bool) { v, ok := c.given["schedule."+schedule+"."+key]; return v, ok },
		func() (value, bool) { v, ok := c.given[key]; return v, ok },
	} {
		if v, ok := v(); ok {
			return v, true
		}
	}
	return value{}, false
}

// Files are those that were read.
func (c *Config) Files() []string { return c.files }

func keyOf(name string) (Key, bool) {
	for _, k := range Keys() {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// similar names the key that was probably meant.
func similar(name string) string {
	last := name[strings.LastIndex(name, ".")+1:]
	for _, k := range Keys() {
		if strings.ReplaceAll(k.Name, "-", "") == strings.NewReplacer("-", "", "_", "").Replace(name) ||
			strings.HasSuffix(k.Name, "."+last) {
			return fmt.Sprintf("; %q?", k.Name)
		}
	}
	return ""
}
