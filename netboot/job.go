package netboot

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"aead.dev/minisign"
)

// JobVersion is the version of the job file that this program reads.
const JobVersion = 1

// MaxJob is the largest job file, in bytes.
const MaxJob = 64 << 10

// A Job says what a board has to do. It is a TOML file; docs/BOOT.md shows one.
type Job struct {
	Version int      `toml:"version"`
	ID      string   `toml:"id"`     // a job with the same ID is not done twice
	Action  string   `toml:"action"` // Restore is the only one
	Boards  Boards   `toml:"boards"`
	Source  Source   `toml:"source"`
	Target  Target   `toml:"target"`
	Restore Settings `toml:"restore"`
	After   After    `toml:"after"`
}

// Restore is the action that fills a disk from an image.
const Restore = "restore"

// Boards select who has to do the job: a board must fit each list that is not
// empty. Entries may hold * and ?; case does not matter.
type Boards struct {
	Serial []string `toml:"serial"`
	MAC    []string `toml:"mac"`
	Model  []string `toml:"model"` // the model's name, or one of the device tree's "compatible"
}

// Source is the image, or a snapshot: REPO@latest.
type Source struct {
	URL      string   `toml:"url"`            // may be relative to the place of the job
	SHA256   string   `toml:"sha256"`         // of the file as stored, in hex; "" = not given
	Content  string   `toml:"content_sha256"` // of the disk's bytes in it, unpacked; "" = not given
	SignedBy []string `toml:"signed_by"`      // a snapshot's: minisign public keys, "RWQ…", one of which signed it
}

// Target is the rule that chooses the disk which is overwritten.
type Target struct {
	Slot    string   `toml:"slot"`     // one of Slots(); "" = any
	MinSize Size     `toml:"min_size"` // bytes, or "8GB"
	Holds   []string `toml:"holds"`    // Blank, Anything, or disk IDs; empty = Blank only
}

// Words of Target.Holds that are no disk ID.
const (
	Blank    = "blank"    // no table and no file system
	Anything = "anything" // whatever it holds is overwritten
)

// Settings of the restore.
type Settings struct {
	IDs    string `toml:"ids"`    // "keep" or "new"
	Grow   Grow   `toml:"grow"`   // number of the part that follows the target's size, "none", "" = the last that can
	Verify bool   `toml:"verify"` // read back; true unless the job says false
}

// After says what follows a restore that succeeded.
type After struct {
	Action  string `toml:"action"`  // "reboot", "poweroff" or "menu"
	Message string `toml:"message"` // shown to whoever stands there
}

// Slots are the words for where a disk is plugged in.
func Slots() []string { return []string{"sd", "usb", "nvme", "emmc", "virtio"} }

// ParseJob reads and checks a job. An unknown key is an error that names it: a
// misspelt rule must not be a rule that is missing.
func ParseJob(data []byte) (*Job, error) {
	j := &Job{Restore: Settings{IDs: "keep", Verify: true}, After: After{Action: "reboot"}}
	meta, err := decode(data, MaxJob, j)
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	if !meta.IsDefined("version") {
		return nil, fmt.Errorf("job: key version is missing; this program reads version %d", JobVersion)
	}
	if j.Version != JobVersion { // before its keys: a newer one may have more
		return nil, fmt.Errorf("job of version %d: this program reads version %d", j.Version, JobVersion)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("job: key %q is not known", unknown[0].String())
	}
	if err := j.check(); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return j, nil
}

// check refuses by name what the file may not say, and brings words into one
// form.
func (j *Job) check() error {
	j.Source.SHA256, j.Source.Content = strings.ToLower(j.Source.SHA256), strings.ToLower(j.Source.Content)
	for i, h := range j.Target.Holds {
		j.Target.Holds[i] = strings.ToLower(strings.TrimSpace(h))
	}
	return errors.Join(
		checkID(j.ID),
		oneOf("action", j.Action, Restore),
		checkURL(j.Source.URL),
		checkHex("source.sha256", j.Source.SHA256),
		checkHex("source.content_sha256", j.Source.Content),
		j.Source.checkKeys(),
		oneOf("target.slot", j.Target.Slot, append(Slots(), "")...),
		checkHolds(j.Target.Holds),
		oneOf("restore.ids", j.Restore.IDs, "keep", "new"),
		oneOf("after.action", j.After.Action, "reboot", "poweroff", "menu"),
		j.Boards.check(),
	)
}

const maxID = 128

func checkID(id string) error {
	if id == "" {
		return errors.New("key id is missing: without it a board would do the job again and again")
	}
	if len(id) > maxID || printable(id) == "" {
		return fmt.Errorf("id %q: at most %d printable characters without spaces", shorten(id), maxID)
	}
	return nil
}

func checkURL(s string) error {
	if s == "" {
		return errors.New("key source.url is missing")
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("source.url: %w", err)
	}
	return oneOf("source.url: scheme", u.Scheme, "http", "https", "sftp", "s3", "")
}

func checkHex(key, s string) error {
	if s != "" && (len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "") {
		return fmt.Errorf("%s %q: not 64 hex digits", key, shorten(s))
	}
	return nil
}

// checkKeys refuses what is no key, and a digest beside keys: images have the
// one, snapshots the other.
func (s Source) checkKeys() error {
	if len(s.SignedBy) > 0 && (s.SHA256 != "" || s.Content != "") {
		return errors.New("source.signed_by is for a snapshot, and a digest for an image: one of them")
	}
	for _, text := range s.SignedBy {
		var k minisign.PublicKey
		if err := k.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("source.signed_by %q: not a minisign public key", shorten(text))
		}
	}
	return nil
}

func checkHolds(holds []string) error {
	for _, h := range holds {
		if printable(h) == "" {
			return fmt.Errorf("target.holds: %q is neither %q, %q nor a disk ID", h, Blank, Anything)
		}
	}
	return nil
}

func (b Boards) check() error {
	for _, list := range [][]string{b.Serial, b.MAC, b.Model} {
		for _, p := range list {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				return fmt.Errorf("boards: pattern %q is malformed", p)
			}
		}
	}
	return nil
}

func oneOf(key, word string, words ...string) error {
	if slices.Contains(words, word) {
		return nil
	}
	if word == "" {
		return fmt.Errorf("key %s is missing: %s", key, quoted(words))
	}
	return fmt.Errorf("%s %q is not known: %s", key, shorten(word), quoted(words))
}

func quoted(words []string) string {
	var out []string
	for _, w := range words {
		if w != "" {
			out = append(out, fmt.Sprintf("%q", w))
		}
	}
	return strings.Join(out, ", ")
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Pinned tells whether the job says by digest which image it means, or by whom
// the snapshot must be signed. Without that its own signature says nothing about
// what will be on the disk.
func (j *Job) Pinned() bool {
	return j.Source.SHA256 != "" || j.Source.Content != "" || len(j.Source.SignedBy) > 0
}

// Image is the place of the image, as seen from the place of the job: a URL, or
// a path where the job came from a file.
func (j *Job) Image(place string) (string, error) {
	ref, err := url.Parse(j.Source.URL)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", j.Source.URL, err)
	}
	if ref.IsAbs() {
		return j.Source.URL, nil
	}
	if !strings.Contains(place, "://") {
		return path.Join(path.Dir(place), ref.Path), nil
	}
	base, err := url.Parse(place)
	if err != nil {
		return "", fmt.Errorf("place of the job %q: %w", place, err)
	}
	return base.ResolveReference(ref).String(), nil
}
