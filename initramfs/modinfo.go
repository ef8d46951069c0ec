package initramfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"lifeboat/clone/codec"
)

// maxModule caps a module, unpacked. The largest of Debian's has 14 MiB.
const maxModule = 128 << 20

// A module is one .ko file, as its own .modinfo section tells (Linux
// include/linux/module.h, MODULE_INFO).
type module struct {
	name     string // with '_'
	file     string // its place below lib/modules/VERSION, without an ending like .xz
	raw      []byte
	machine  elf.Machine
	deps     []string // names
	pre      []string // soft dependencies: names or aliases
	post     []string
	aliases  []string
	firmware []string
	isa      string // "ARMv7", where the module's vermagic has such a word
}

// norm gives a module's name the form in which it is compared.
func norm(name string) string { return strings.ReplaceAll(name, "-", "_") }

// isModule tells whether a file is a module, packed or not.
func isModule(file string) bool {
	return strings.HasSuffix(moduleFile(file), ".ko")
}

// moduleFile is the file's name without an ending like .xz.
func moduleFile(file string) string {
	for _, ext := range []string{".xz", ".zst", ".gz"} {
		file = strings.TrimSuffix(file, ext)
	}
	return file
}

func moduleName(file string) string {
	return norm(strings.TrimSuffix(path.Base(moduleFile(file)), ".ko"))
}

// readModule reads, unpacks and parses a module.
func readModule(fsys fs.FS, base, file string) (*module, error) {
	raw, err := unpackFile(fsys, path.Join(base, file), maxModule)
	if err != nil {
		return nil, err
	}
	m, err := parseModule(raw)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", file, err)
	}
	m.name, m.file = moduleName(file), moduleFile(file)
	return m, nil
}

// unpackFile reads a whole file through its packing.
func unpackFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := codec.NewReader(f, codec.Limits{Output: limit})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	raw, err := io.ReadAll(z)
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return raw, nil
}

func parseModule(raw []byte) (*module, error) {
	f, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > uint64(len(raw)) {
		return nil, errors.New("it has no .modinfo")
	}
	text, err := s.Data()
	if err != nil {
		return nil, err
	}
	m := &module{raw: raw, machine: f.Machine}
	for _, line := range strings.Split(string(text), "\x00") {
		key, value, _ := strings.Cut(line, "=")
		m.info(key, value)
	}
	return m, nil
}

func (m *module) info(key, value string) {
	switch key {
	case "depends":
		for _, d := range strings.Split(value, ",") {
			if d != "" {
				m.deps = append(m.deps, norm(d))
			}
		}
	case "softdep":
		m.pre, m.post = softdep(value, m.pre, m.post)
	case "alias":
		m.aliases = append(m.aliases, value)
	case "firmware":
		m.firmware = append(m.firmware, value)
	case "vermagic":
		for _, word := range strings.Fields(value) {
			if strings.HasPrefix(word, "ARMv") {
				m.isa = word
			}
		}
	}
}

// softdep adds the words of a line as "pre: a b post: c".
func softdep(line string, pre, post []string) ([]string, []string) {
	into := &pre
	for _, word := range strings.Fields(line) {
		switch word {
		case "pre:":
			into = &pre
		case "post:":
			into = &post
		default:
			if !slices.Contains(*into, word) {
				*into = append(*into, word)
			}
		}
	}
	return pre, post
}
