package repo_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// campaignFile tells a guest how much to do; none = a handful.
const campaignFile = "/etc/campaign.json"

// A fatCampaign is what a guest does to FAT.
type fatCampaign struct {
	Rounds, Instants, Days, Kills int
	Seed                          uint64
}

// TestInGuest lets the power fail of a disk with FAT32, which this machine's kernel
// may not know. It has no exFAT either, and nor has User-Mode Linux.
func TestInGuest(t *testing.T) {
	t.Parallel()
	onFATGuest(t, 0, nil)
}

// TestPowerLostOnFATOften is the campaign.
func TestPowerLostOnFATOften(t *testing.T) {
	seed := often(t)
	for i := range uint64(3) {
		c := fatCampaign{Rounds: 2 * len(sticks), Instants: 20, Days: 2, Kills: 10, Seed: seed + 100*i}
		file := filepath.Join(t.TempDir(), "campaign")
		text, err := json.Marshal(c)
		must(t, err)
		must(t, os.WriteFile(file, text, 0o600))
		t.Run("", func(t *testing.T) { onFATGuest(t, time.Hour, map[string]string{campaignFile: file}) })
	}
}

func onFATGuest(t *testing.T, limit time.Duration, files map[string]string) {
	t.Helper()
	vmtest.Run(t, vmtest.Options{
		Memory:   1 << 30,
		Modules:  []string{"fuse", "loop", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"},
		Programs: []string{"mkfs.vfat", "fsck.vfat", "losetup", "casync"},
		Files:    files,
		Timeout:  limit,
	})
}

// TestGuestPowerLost is TestPowerLost on FAT.
func TestGuestPowerLost(t *testing.T) {
	vmtest.Only(t)
	c, steps := askedFor(t), histogram{}
	for i := range c.Rounds {
		seed := c.Seed + uint64(i)
		t.Run("", func(t *testing.T) { losePower(t, fatDisk(seed), fatDays(c.Days), c.Instants, seed, steps) })
		t.Log(steps)
	}
}

// TestGuestKilled is TestKilled on FAT.
func TestGuestKilled(t *testing.T) {
	vmtest.Only(t)
	c := askedFor(t)
	p := fatDisk(c.Seed)(t)
	p.on(t, p.base, func(dir string) { (&killer{t: t, dir: dir, place: dir + "/"}).run(c.Kills, c.Seed) })
}

func askedFor(t *testing.T) fatCampaign {
	c := fatCampaign{Rounds: 1, Instants: 6, Days: 1, Kills: 2, Seed: 0}
	if text, err := os.ReadFile(campaignFile); err == nil {
		must(t, json.Unmarshal(text, &c))
	}
	return c
}

// fatDays are days with images beside the repository.
func fatDays(n int) [][]string {
	stages := days(n)
	for i := range stages[1:] {
		stages[i+1] = append(stages[i+1], []string{"image over.img.zst", "image plain.img", "image new.img.zst", "drop new.img.zst"}[i%4])
	}
	return append(stages, []string{"image plain.img", "image over.img.zst"})
}

// sticks are of several kinds. The second is so small that each of its clusters is
// given to several files; a folder of the third grows for every fourth file.
var sticks = []struct {
	kind, cluster string
	size          int64
}{{"32", "8", 40 << 20}, {"16", "4", 9 << 20}, {"32", "2", 72 << 20}}

// fatDisk makes a disk that was full of others' files once.
func fatDisk(seed uint64) func(t *testing.T) place {
	return func(t *testing.T) place {
		fixture.Need(t, "mkfs.vfat", "fsck.vfat")
		s, base := sticks[seed%uint64(len(sticks))], filepath.Join(t.TempDir(), "base")
		noise, b := rand.NewChaCha8([32]byte{byte(seed)}), make([]byte, s.size)
		_, _ = noise.Read(b)
		must(t, os.WriteFile(base, b, 0o600))
		fixture.Run(t, "mkfs.vfat", "-F", s.kind, "-s", s.cluster, "-n", "STICK", base)
		options := []string{"utf8", "shortname=mixed"}
		if seed/uint64(len(sticks))%2 == 1 {
			options = append(options, "flush") // as desktops do
		}
		return place{base, func(t *testing.T, file string, do func(dir string)) { onFAT(t, file, options, do) }}
	}
}

// garbage are names in a repository that nobody gives: fsck.vfat's, and noise.
var garbage = regexp.MustCompile(`^FSCK[0-9]{4}\.[0-9]{3}$|[^0-9A-Za-z.~_-]`)

// onFAT mounts the FAT in a file, repaired as at a machine's start, and calls do
// with a folder on it.
func onFAT(t *testing.T, file string, options []string, do func(dir string)) {
	t.Helper()
	node := strings.TrimSpace(fixture.Run(t, "losetup", "-f", "--show", file))
	defer fixture.Run(t, "losetup", "-d", node)
	out, code := fixture.Try(t, "fsck.vfat", "-a", node)
	if again, code := fixture.Try(t, "fsck.vfat", "-a", node); code != 0 { // of folders that grew
		t.Logf("fsck.vfat -a finds something a second time: exit code %d\n%s", code, again)
	}
	mount, err := fixture.Mount("vfat", node, options...)
	must(t, err)
	defer mount.Close()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("fsck.vfat -a: exit code %d\n%s", code, out)
		}
	})
	do(filepath.Join(fixture.MountPath(mount), "repo"))
}
