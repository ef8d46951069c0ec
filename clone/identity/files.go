package identity

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// find lists the files that name parts, as far as they are there: first the
// boot part's, then the root's.
func find(boot, root fs.FS) ([]file, error) {
	var files []file
	if boot != nil {
		found, err := bootFiles(boot, Boot, ".")
		if err != nil {
			return nil, err
		}
		files = found
	}
	if root == nil {
		return files, nil
	}
	if len(files) == 0 {
		for _, dir := range []string{"boot", "boot/firmware"} {
			found, err := bootFiles(root, Root, dir)
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	found, err := loadAll(root, Root, rootNames())
	return append(files, found...), err
}

// A candidate is a file to look for.
type candidate struct {
	name  string
	parse parser
}

func rootNames() []candidate {
	return []candidate{
		{"etc/fstab", fstab},
		{"etc/crypttab", crypttab},
		{"etc/initramfs-tools/conf.d/resume", optional(settings)},
		{"etc/kernel/cmdline", optional(arguments)},        // of which kernel-install makes the next cmdline
		{"etc/default/u-boot", optional(settings)},         // of which Debian's u-boot-menu makes extlinux.conf
		{"etc/default/raspi-firmware", optional(settings)}, // of which Debian makes cmdline.txt
	}
}

// bootFiles are the files that boot loaders read, in the folder dir.
func bootFiles(tree fs.FS, where, dir string) ([]file, error) {
	names, err := cmdlines(tree, where, dir)
	if err != nil {
		return nil, err
	}
	names = append(names,
		candidate{"autoboot.txt", autoboot},
		candidate{"extlinux/extlinux.conf", extlinux},
		candidate{"extlinux.conf", extlinux},
		candidate{"armbianEnv.txt", settings},
		candidate{"orangepiEnv.txt", settings},
		candidate{"dietpiEnv.txt", settings},
		candidate{"uEnv.txt", settings},
		candidate{"boot.ini", settings},
	)
	for i := range names {
		names[i].name = path.Join(dir, names[i].name)
	}
	return loadAll(tree, where, names)
}

func loadAll(tree fs.FS, where string, names []candidate) ([]file, error) {
	var files []file
	seen := map[string]bool{}
	for _, c := range names {
		if seen[c.name] {
			continue
		}
		seen[c.name] = true
		f, ok, err := load(tree, where, c.name, c.parse)
		if err != nil {
			return nil, err
		}
		if ok {
			files = append(files, f)
		}
	}
	return files, nil
}

// maxIncludes bounds the files that config.txt may draw in.
const maxIncludes = 16

// cmdlines are the names that the Raspberry Pi's firmware may read the kernel's
// arguments from: cmdline= and os_prefix= of config.txt and tryboot.txt, and
// Ubuntu's folders, between which it switches. Filters ([pi4]) are ignored:
// what is right on one board should be right on all. The boot goes on without
// the system that Ubuntu tries next (new) or has left (old).
func cmdlines(tree fs.FS, where, dir string) ([]candidate, error) {
	names, prefixes := []string{"cmdline.txt"}, []string{"", "current/"}
	spares := []string{"new/", "old/"}
	configs := []string{"config.txt", "tryboot.txt"}
	for i := 0; i < len(configs) && i < maxIncludes; i++ {
		f, ok, err := load(tree, where, path.Join(dir, configs[i]), nil)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for line := range strings.Lines(string(f.data)) {
			line = strings.TrimSpace(line)
			key, value, _ := strings.Cut(line, "=")
			switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
			case "cmdline":
				names = append(names, value)
			case "os_prefix":
				prefixes = append(prefixes, value)
			}
			if include, ok := strings.CutPrefix(line, "include "); ok {
				configs = append(configs, strings.TrimSpace(include))
			}
		}
	}
	var found []candidate
	for _, prefix := range append(prefixes, spares...) {
		for _, name := range names {
			full := prefix + name
			if rooted, ok := strings.CutPrefix(name, "/"); ok {
				full = rooted // bypasses the prefix
			}
			parse := arguments
			if slices.Contains(spares, prefix) && !slices.Contains(prefixes, prefix) {
				parse = optional(arguments)
			}
			if full != "" {
				found = append(found, candidate{path.Clean(full), parse})
			}
		}
	}
	return found, nil
}
