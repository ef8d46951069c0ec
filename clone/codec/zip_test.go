package codec_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lifeboat/clone/codec"
	"lifeboat/internal/fixture"
)

// zipFolder makes a zip file of a folder with a text, a folder and an image.
func zipFolder(t testing.TB, content []byte, args ...string) []byte {
	t.Helper()
	fixture.Need(t, "zip")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "README.txt"), []byte("flash the image\n"))
	if err := os.Mkdir(filepath.Join(dir, "os"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "os", "card.img"), content)
	return zipRun(t, dir, nil, append(args, "-", "README.txt", "os", "os/card.img")...)
}

// zipRun runs zip in dir; it writes to standard output.
func zipRun(t testing.TB, dir string, stdin io.Reader, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "zip", append([]string{"-q"}, args...)...)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, stdin, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestZipStream(t *testing.T) {
	t.Parallel()
	content := sample(900_001)
	for name, args := range map[string][]string{
		"deflated": {"-1"}, "stored": {"-0"}, "zip64": {"-1", "-fz"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			packed := zipFile(t, content, args...)
			got, z, err := unpack(packed, codec.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, content) || z.Name != "os/card.img" || z.Size != int64(len(content)) {
				t.Errorf("got %d bytes of %q, size %d", len(got), z.Name, z.Size)
			}
			for _, cut := range []int{20, 100, len(packed) / 2} {
				if _, _, err := unpack(packed[:cut], codec.Limits{}); !errors.Is(err, codec.ErrTruncated) {
					t.Errorf("cut at %d: got %v", cut, err)
				}
			}
		})
	}
}

// zipFile lets zip seek in its output, so that sizes stand in the heads.
func zipFile(t testing.TB, content []byte, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "all.zip"), zipFolder(t, content, "-0"))
	fixture.Need(t, "unzip")
	fixture.Run(t, "unzip", "-q", filepath.Join(dir, "all.zip"), "-d", dir)
	zipRun(t, dir, nil, append(args, "new.zip", "README.txt", "os", "os/card.img")...)
	return read(t, filepath.Join(dir, "new.zip"))
}

// zip puts sizes behind members where it cannot seek.
func TestZipDescriptors(t *testing.T) {
	t.Parallel()
	content := sample(900_001)
	for name, args := range map[string][]string{"32 bits": {"-1"}, "64 bits": {"-1", "-fz"}} {
		packed := zipFolder(t, content, args...)
		got, z, err := unpack(packed, codec.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(got, content) || z.Size != -1 {
			t.Errorf("%s: got %d bytes, size %d", name, len(got), z.Size)
		}
		bad := bytes.Clone(packed)
		bad[len(bad)-400] ^= 1 // in the deflated data or the descriptor behind it
		if got, _, err := unpack(bad, codec.Limits{}); err == nil && !bytes.Equal(got, content) {
			t.Errorf("%s: damaged: got other content and no error", name)
		}
	}
}

func TestZipStoredWithDescriptorNeedsAFile(t *testing.T) {
	t.Parallel()
	content := sample(300_000)
	packed := zipFolder(t, content, "-0")
	if got, _, err := unpack(packed, codec.Limits{}); err == nil {
		if !bytes.Equal(got, content) {
			t.Error("stream: got other content and no error")
		}
	} else if !errors.Is(err, codec.ErrNotStreamable) {
		t.Errorf("stream: got %v, want %v", err, codec.ErrNotStreamable)
	}
	z, err := codec.OpenAt(bytes.NewReader(packed), int64(len(packed)), "", codec.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("file: got %d bytes and %v", len(got), err)
	}
}

func TestZipMembers(t *testing.T) {
	t.Parallel()
	packed := zipFolder(t, sample(100_000), "-1")
	for _, open := range []func(string) (*codec.Reader, error){
		func(m string) (*codec.Reader, error) {
			return codec.NewMemberReader(bytes.NewReader(packed), m, codec.Limits{})
		},
		func(m string) (*codec.Reader, error) {
			return codec.OpenAt(bytes.NewReader(packed), int64(len(packed)), m, codec.Limits{})
		},
	} {
		z, err := open("README.txt")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != "flash the image\n" {
			t.Errorf("got %q and %v", got, err)
		}
		if _, err := open("other.img"); err == nil || !strings.Contains(err.Error(), `"other.img"`) {
			t.Errorf("a member that is not there: got %v", err)
		}
	}
}

func TestZipChecksCRC(t *testing.T) {
	t.Parallel()
	content := sample(100_000)
	packed := zipFile(t, content, "-0")
	at := bytes.Index(packed, content[:64])
	packed[at+5000] ^= 1
	if _, _, err := unpack(packed, codec.Limits{}); err == nil || !strings.Contains(err.Error(), "CRC-32") {
		t.Errorf("got %v, want a wrong CRC-32", err)
	}
}

func TestZipEncrypted(t *testing.T) {
	t.Parallel()
	packed := zipFolder(t, sample(100_000), "-1", "-P", "secret")
	if _, _, err := unpack(packed, codec.Limits{}); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("got %v", err)
	}
}
