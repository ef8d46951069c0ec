package initramfs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/initramfs"
)

// makeDeb makes a package of tar headers; their content is their name.
func makeDeb(tb testing.TB, headers ...tar.Header) []byte {
	tb.Helper()
	var data bytes.Buffer
	z := gzip.NewWriter(&data)
	w := tar.NewWriter(z)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			tb.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", []byte("odd")}, {"data.tar.gz", data.Bytes()}} {
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o100644, len(m.data))
		deb.Write(m.data)
		if len(m.data)%2 == 1 {
			deb.WriteByte('\n')
		}
	}
	return deb.Bytes()
}

func writeFile(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	at := filepath.Join(dir, name)
	if err := os.WriteFile(at, data, 0o644); err != nil {
		tb.Fatal(err)
	}
	return at
}

func TestOpenDebs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := writeFile(t, dir, "a.deb", makeDeb(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./usr/lib/x/libx.so.1.0", Typeflag: tar.TypeReg},
		tar.Header{Name: "./usr/lib/x/libx.so.1", Typeflag: tar.TypeSymlink, Linkname: "libx.so.1.0"},
		tar.Header{Name: "./usr/lib/hard", Typeflag: tar.TypeLink, Linkname: "./usr/lib/x/libx.so.1.0"},
		tar.Header{Name: "./usr/share/doc/x/README", Typeflag: tar.TypeReg},
		tar.Header{Name: "./dev/null", Typeflag: tar.TypeChar},
	))
	b := writeFile(t, dir, "b.deb", makeDeb(t, tar.Header{Name: "./lib/y", Typeflag: tar.TypeSymlink, Linkname: "/usr/lib/x/libx.so.1"}))
	fsys, cleanup, err := initramfs.OpenDebs(t.Context(), dir, []string{a, b})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"usr/lib/x/libx.so.1", "usr/lib/hard", "lib/y"} {
		if got, err := fs.ReadFile(fsys, name); err != nil || string(got) != "./usr/lib/x/libx.so.1.0" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"usr/share/doc/x/README", "dev/null"} {
		if _, err := fs.Stat(fsys, name); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
	if err := cleanup(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "lifeboat-debs-*")); len(left) > 0 {
		t.Errorf("cleanup left %q", left)
	}
}

// A package from elsewhere must not reach out of its folder.
func TestDebsStayInTheirFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := writeFile(t, dir, "outside", []byte("untouched"))
	for i, headers := range [][]tar.Header{
		{{Name: "../../outside", Typeflag: tar.TypeReg}},
		{{Name: "out", Typeflag: tar.TypeSymlink, Linkname: dir}, {Name: "out/outside", Typeflag: tar.TypeReg}},
		{{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "../.."}, {Name: "out/outside", Typeflag: tar.TypeReg}},
		{{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../../outside"}},
	} {
		deb := writeFile(t, dir, fmt.Sprintf("%d.deb", i), makeDeb(t, headers...))
		_, cleanup, err := initramfs.OpenDebs(t.Context(), dir, []string{deb})
		if err == nil {
			err = cleanup()
		}
		if got, rerr := os.ReadFile(outside); rerr != nil || string(got) != "untouched" {
			t.Fatalf("package %d wrote outside: %q, %v (%v)", i, got, rerr, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "lifeboat-debs-*")); len(left) > 0 {
		t.Errorf("what failed left %q", left)
	}
}

func TestOpenDebsRefuses(t *testing.T) {
	t.Parallel()
	whole := makeDeb(t, tar.Header{Name: "x", Typeflag: tar.TypeReg})
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"text", []byte("hello, I am no package"), "no Debian package"},
		{"nothing in it", []byte("!<arch>\n"), "no data.tar"},
		{"damaged header", append([]byte("!<arch>\n"), make([]byte, 60)...), "damaged"},
		{"cut off", whole[:len(whole)-20], "unpack"},
	} {
		dir := t.TempDir()
		deb := writeFile(t, dir, "x.deb", c.data)
		_, _, err := initramfs.OpenDebs(t.Context(), dir, []string{deb})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func FuzzOpenDebs(f *testing.F) {
	f.Add(makeDeb(f, tar.Header{Name: "a/b", Typeflag: tar.TypeReg}, tar.Header{Name: "c", Typeflag: tar.TypeSymlink, Linkname: "../.."}))
	f.Add([]byte("!<arch>\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		_, cleanup, err := initramfs.OpenDebs(t.Context(), dir, []string{writeFile(t, dir, "x.deb", data)})
		if err == nil {
			err = cleanup()
		}
		entries, rerr := os.ReadDir(dir)
		if rerr != nil || len(entries) != 1 {
			t.Errorf("got %d files in the folder (%v, %v), want the package alone", len(entries), rerr, err)
		}
	})
}
