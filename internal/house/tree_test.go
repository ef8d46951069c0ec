package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// top is all that lies in the repository's root.
var top = []string{
	"boards", "clone", "cmd", "initramfs", "netboot", "internal", "testdata", "docs",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", ".ci", ".gitignore",
}

// TestTop holds that the root is the map that its users know.
func TestTop(t *testing.T) {
	t.Parallel()
	for _, name := range tracked(t) {
		first, _, _ := strings.Cut(name, "/")
		if !slices.Contains(top, first) {
			t.Errorf("%s: nothing is added to the top level", name)
		}
	}
}

// strangers are words that name somebody's machine or registry. They are put
// together here, so as not to be found in this file.
var strangers = regexp.MustCompile(strings.Join([]string{
	`/wo` + `rk/(main|shared)`, `/ho` + `me/[a-oq-z]`, `/ro` + `ot/\.`, `deb\.de` + `bian\.org`, `security\.de` + `bian\.org`,
	`proxy\.go` + `lang\.org`, `sum\.go` + `lang\.org`, `registry\.np` + `mjs\.org`,
}, "|"))

// TestNoStrangers holds that no file knows where it was written.
func TestNoStrangers(t *testing.T) {
	t.Parallel()
	for _, name := range tracked(t) {
		st, err := os.Lstat(filepath.Join(fixture.Top(t), name))
		if err != nil || !st.Mode().IsRegular() || strings.HasSuffix(name, ".zst") {
			continue
		}
		for i, line := range strings.Split(read(t, name), "\n") {
			if found := strangers.FindString(line); found != "" {
				t.Errorf("%s:%d: %q is of one machine or registry", name, i+1, found)
			}
		}
	}
}

// TestDependenciesHaveReasons holds that go.mod says beside each direct
// dependency what it is for.
func TestDependenciesHaveReasons(t *testing.T) {
	t.Parallel()
	_, rest, found := strings.Cut(read(t, "go.mod"), "require (\n")
	if !found {
		t.Fatal("go.mod has no require block")
	}
	block, _, _ := strings.Cut(rest, ")")
	for line := range strings.Lines(block) {
		_, reason, ok := strings.Cut(line, "//")
		if reason = strings.TrimSpace(reason); !ok || reason == "" || reason == "indirect" {
			t.Errorf("go.mod: no reason beside %s", strings.TrimSpace(line))
		}
	}
}

// mayOpenForWriting lists the files outside of clone/disk that open for writing
// what was there before, and why that is no disk.
var mayOpenForWriting = map[string]string{
	"initramfs/deb.go":                "files of a package, inside the folder that it is unpacked to",
	"initramfs/uinit/entropy.go":      "/dev/urandom",
	"initramfs/uinit/init.go":         "/dev/kmsg",
	"initramfs/uinit/session.go":      "a console",
	"initramfs/uinit/start.go":        "a console",
	"initramfs/uinit/tty_linux.go":    "a console",
	"initramfs/uinit/watchdog.go":     "/dev/watchdog",
	"internal/atomicfile/leftover.go": "a file, to lock it: NFS locks for writing only what is open for it",
	"clone/store/sftpwrite.go":        "a file of an SFTP server, named in the words of package os",
}

// TestOnlyClaimedDisksAreWritten holds, as far as names tell, that disks are
// opened for writing by clone/disk alone. What must be new (O_EXCL with
// O_CREATE) is a file.
func TestOnlyClaimedDisksAreWritten(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		if f.name == "clone/disk" || !f.shipped() {
			continue
		}
		for _, s := range f.files {
			if s.test() || mayOpenForWriting[s.name] != "" {
				continue
			}
			lines := strings.Split(s.text, "\n")
			for _, path := range []string{"os", "syscall", "golang.org/x/sys/unix"} {
				selectors(s, path, func(n ast.Node, name string) {
					line := lines[f.fset.Position(n.Pos()).Line-1]
					isNew := strings.Contains(line, "O_EXCL") && strings.Contains(line, "O_CREATE")
					if (name == "O_RDWR" || name == "O_WRONLY") && !isNew {
						t.Errorf("%s: opens something with %s: if it is no disk, list it with the reason", f.where(n), name)
					}
				})
			}
		}
	}
}
