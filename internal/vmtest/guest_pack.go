package vmtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// What the host and the guest's init agree on: guestinit/main.go has the same.
const (
	guestEnv   = "LIFEBOAT_GUEST"
	exitMarker = "vmtest: exit code "
	ordersFile = "etc/orders.json"
)

// orders tell the guest's init what to do.
type orders struct {
	Modules []module
	Command []string
	Env     []string
}

// A module is a file in the guest, and what it is loaded with.
type module struct{ Path, Params string }

// pack writes the guest's first root file system.
func (o Options) pack(tb testing.TB, dir, initrd string, timeout time.Duration) error {
	files := map[string]string{} // path in the guest → path here
	initBinary, testBinary := filepath.Join(dir, "init"), filepath.Join(dir, "test")
	if err := compile(tb, nil, "build", "-o", initBinary, "lifeboat/internal/vmtest/guestinit"); err != nil {
		return err
	}
	if err := compile(tb, nil, "test", "-c", "-o", testBinary, "."); err != nil {
		return err
	}
	files["init"], files["test"] = initBinary, testBinary
	modules, err := packModules(o.Modules, files)
	if err != nil {
		return err
	}
	for _, p := range o.Programs {
		if err := packProgram(p, files); err != nil {
			return err
		}
	}
	for to, from := range o.Files {
		files[strings.TrimPrefix(path.Clean(to), "/")] = from
	}
	text, err := json.Marshal(orders{
		Modules: modules,
		Command: []string{"/test", "-test.v=test2json", "-test.run=^TestGuest", fmt.Sprintf("-test.timeout=%v", timeout)},
		Env:     []string{guestEnv + "=1", "PATH=/bin", "HOME=/tmp", "TMPDIR=/tmp", "CI=" + os.Getenv("CI")},
	})
	if err != nil {
		return err
	}
	return writeArchive(initrd, files, text)
}

// compile runs the go command in the package's own folder, where go test starts
// its tests.
func compile(tb testing.TB, environ []string, args ...string) error {
	cmd := exec.CommandContext(tb.Context(), "go", args...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// writeArchive makes a newc archive. The kernel silently drops a file whose
// folder comes after it, hence the order.
func writeArchive(name string, files map[string]string, ordersText []byte) error {
	records := []cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.StaticFile(ordersFile, string(ordersText), 0o644),
	}
	for _, dir := range []string{"proc", "sys", "tmp", "run", "mnt"} {
		records = append(records, cpio.Directory(dir, 0o755))
	}
	for to, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("pack for the guest: %w", err)
		}
		records = append(records, cpio.StaticFile(to, string(content), 0o755))
	}
	records = append(records, folders(records)...)
	slices.SortFunc(records, func(a, b cpio.Record) int { return strings.Compare(a.Name, b.Name) })
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := cpio.Newc.Writer(f)
	for i, r := range records {
		r.Ino = uint64(i + 1)
		if err := w.WriteRecord(r); err != nil {
			return fmt.Errorf("pack %s for the guest: %w", r.Name, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return err
	}
	return f.Close()
}

// folders are the folders that records lie in and do not hold themselves.
func folders(records []cpio.Record) []cpio.Record {
	seen := map[string]bool{".": true}
	for _, r := range records {
		seen[r.Name] = true
	}
	var dirs []cpio.Record
	for _, r := range records {
		for dir := path.Dir(r.Name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			dirs = append(dirs, cpio.Directory(dir, 0o755))
		}
	}
	return dirs
}
