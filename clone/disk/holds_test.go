package disk_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"lifeboat/clone/disk"
	"lifeboat/internal/fixture"
)

// script lets sfdisk write a table into a file.
func script(t *testing.T, file, text string) {
	t.Helper()
	fixture.Need(t, "sfdisk")
	cmd := exec.CommandContext(t.Context(), "sfdisk", "-q", file)
	if cmd.Err != nil { // where only root's PATH has it
		cmd = exec.CommandContext(t.Context(), "/usr/sbin/sfdisk", "-q", file)
	}
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	const guid = "0f3b7d52-8a41-4c11-9c0e-d2a1b3c4e5f6"
	poke := func(off int64, b ...byte) func(t *testing.T, file string) {
		return func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(b, off); err != nil {
				t.Fatal(err)
			}
		}
	}
	gpt := func(t *testing.T, file string) {
		script(t, file, "label: gpt\nlabel-id: "+guid+"\nsize=8M\n")
	}
	for _, c := range []struct {
		name string
		do   []func(t *testing.T, file string)
		want string
	}{
		{"zeros", nil, disk.Blank},
		{"erased flash", []func(*testing.T, string){poke(0, bytes.Repeat([]byte{0xFF}, 64<<20)...)}, disk.Blank},
		{"a byte in the first MiB", []func(*testing.T, string){poke(1<<20-1, 1)}, disk.Untold},
		{"the last byte", []func(*testing.T, string){poke(64<<20-1, 1)}, disk.Untold},
		{"data far behind a wiped table", []func(*testing.T, string){poke(30<<20, bytes.Repeat([]byte("data"), 1<<20)...)}, disk.Untold},
		{"MBR", []func(*testing.T, string){func(t *testing.T, file string) {
			script(t, file, "label: dos\nlabel-id: 0xcafe0001\nstart=8192,size=16M,type=c\n")
		}}, "cafe0001"},
		{"MBR without parts", []func(*testing.T, string){func(t *testing.T, file string) {
			script(t, file, "label: dos\nlabel-id: 0x00c0ffee\n")
		}}, "00c0ffee"},
		{"GPT", []func(*testing.T, string){gpt}, guid},
		{"GPT, first header torn", []func(*testing.T, string){gpt, poke(512, make([]byte, 512)...)}, guid},
		{"GPT overwritten by an MBR", []func(*testing.T, string){gpt, poke(446, 0, 0, 0, 0, 0x0C, 0, 0, 0, 0, 32, 0, 0, 0, 8, 0, 0)}, "00000000"},
		{"bare ext4", []func(*testing.T, string){func(t *testing.T, file string) {
			fixture.Run(t, "mke2fs", "-q", "-F", file)
		}}, disk.Untold},
		{"bare FAT", []func(*testing.T, string){func(t *testing.T, file string) {
			fixture.Run(t, "mkfs.vfat", file)
		}}, disk.Untold},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := image(t, 64<<20)
			for _, do := range c.do {
				do(t, file)
			}
			if got := look(t, file).Holds; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzHolds: whatever lies on a disk, there is a short answer.
func FuzzHolds(f *testing.F) {
	mbr := make([]byte, 1024)
	binary.LittleEndian.PutUint32(mbr[440:], 0xcafe0001)
	copy(mbr[446:], []byte{0, 0, 0, 0, 0xEE, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0})
	mbr[510], mbr[511] = 0x55, 0xAA
	f.Add(mbr)
	f.Add(append(mbr[:512:512], "EFI PART"...))
	f.Add([]byte{})
	answer := regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|` + disk.Blank + `|` + disk.Untold + `)$`)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, sector := range []int64{512, 4096} {
			got, err := disk.Holds(bytes.NewReader(b), int64(len(b)), sector)
			if err != nil || !answer.MatchString(got) {
				t.Errorf("got %q, %v", got, err)
			}
		}
	})
}

func TestWord(t *testing.T) {
	t.Parallel()
	d := disk.Disk{Model: "SC32G", Serial: "0x1a2b3c4d", Size: 31914983424}
	word := disk.Word(d, "cafe0001")
	if !regexp.MustCompile(`^([b-v][eiou]){4}$`).MatchString(word) || strings.ContainsAny(word, "aqwzym") {
		t.Errorf("got %q, which is hard to type on a keyboard whose layout is not known", word)
	}
	if again := disk.Word(d, "cafe0001"); again != word {
		t.Errorf("got %q, then %q", word, again)
	}
	for what, other := range map[string]string{
		"content": disk.Word(d, "cafe0002"),
		"serial":  disk.Word(disk.Disk{Model: d.Model, Serial: "0x1a2b3c4e", Size: d.Size}, "cafe0001"),
		"model":   disk.Word(disk.Disk{Model: "SC32", Serial: "G0x1a2b3c4d", Size: d.Size}, "cafe0001"),
		"size":    disk.Word(disk.Disk{Model: d.Model, Serial: d.Serial, Size: d.Size + 512}, "cafe0001"),
	} {
		if other == word {
			t.Errorf("another %s, the same word %q", what, word)
		}
	}
}
