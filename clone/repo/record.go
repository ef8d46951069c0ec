package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"aead.dev/minisign"

	"lifeboat/clone/codec"
	"lifeboat/clone/manifest"
)

const (
	maxRecord    = 64 << 10
	maxManifest  = 64 << 20 // unpacked: a million extents
	maxSignature = 4 << 10
	maxName      = 128
)

// A Bound file is held against its size and SHA-256 when it is read.
type Bound struct {
	Size int64  `json:"size"` // bytes
	Sum  string `json:"sha256"`
}

func boundOf(data []byte) Bound {
	sum := sha256.Sum256(data)
	return Bound{int64(len(data)), hex.EncodeToString(sum[:])}
}

// errBound is what a file gives that does not fit its record.
var errBound = errors.New("it is not the file that the record names: damaged or exchanged")

func (b Bound) check(data []byte) error {
	if boundOf(data) != b {
		return errBound
	}
	return nil
}

// A Record is what makes a snapshot.
type Record struct {
	Version    int            `json:"version"`
	Repository string         `json:"repository"`
	Series     string         `json:"series"`
	ID         string         `json:"id"`
	Time       time.Time      `json:"time"` // when the backup began, by the clock and zone of who made it
	Host       string         `json:"host,omitempty"`
	Name       string         `json:"name,omitempty"` // that a person gave
	Type       string         `json:"type,omitempty"` // of a schedule
	Identity   Identity       `json:"identity"`
	Base       string         `json:"base,omitempty"` // ID of the snapshot that "same" referred to
	Pair       *manifest.Pair `json:"pair,omitempty"` // the other disk's snapshot; nil = the system lies on this disk alone
	Size       int64          `json:"size"`           // of the disk, bytes
	Used       int64          `json:"used"`           // bytes in use
	Added      int64          `json:"added"`          // bytes that the store grew by
	Chunks     int64          `json:"chunks"`         // that were put
	Index      Bound          `json:"index"`
	Manifest   Bound          `json:"manifest"`
}

// Label is how a person names the snapshot.
func (r *Record) Label() string {
	label := r.host()
	if label == "" {
		label = r.Series
	}
	if r.Name != "" {
		return label + "/" + r.Name
	}
	return label + "/" + r.Time.Format(labelTime)
}

const labelTime = "2006-01-02T15:04:05"

func (r *Record) stem() string { return stem(r.Series, r.ID) }

func stem(series, id string) string { return snapshotsDir + series + "/" + id }

// idForm is that of a snapshot's ID.
var idForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$`)

const idTime = "20060102T150405Z"

// parseStem takes the name of a file of a snapshot apart; false for others.
func parseStem(name, ext string) (series, id string, ok bool) {
	rest, ok := strings.CutPrefix(name, snapshotsDir)
	if !ok {
		return "", "", false
	}
	if rest, ok = strings.CutSuffix(rest, ext); !ok {
		return "", "", false
	}
	series, id, _ = strings.Cut(rest, "/")
	return series, id, isHex(series, seriesLen) && idForm.MatchString(id)
}

// check holds a record against its place and the repository.
func (r *Record) check(c config, series, id string) error {
	switch {
	case r.Version != configVersion:
		return fmt.Errorf("version %d of the format is not known", r.Version)
	case r.Repository != c.ID || r.Series != series || r.ID != id:
		return errors.New("it is the record of another snapshot")
	case r.Size <= 0 || count(r.Size, c.Chunk) > maxItems:
		return fmt.Errorf("a disk of %d bytes is not possible with chunks of %d", r.Size, c.Chunk)
	case r.Index.Size != indexSize(count(r.Size, c.Chunk)):
		return fmt.Errorf("an index of %d bytes is not one of %d chunks", r.Index.Size, count(r.Size, c.Chunk))
	case r.Manifest.Size <= 0 || r.Manifest.Size > maxManifest:
		return fmt.Errorf("a manifest of %d bytes is not possible", r.Manifest.Size)
	}
	return errors.Join(checkWord("host", r.Host), checkWord("name", r.Name), checkWord("type", r.Type), checkPair(r.Pair))
}

// checkWord refuses what would confuse a terminal, or a name after REPO@.
func checkWord(what, s string) error {
	if len(s) > maxName || !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) || c == '/' || c == '@' }) {
		return fmt.Errorf("the %s %q is too long, or has characters that it cannot have", what, s)
	}
	return nil
}

// checkName refuses also what could not be asked for by its name.
func checkName(name string) error {
	if name == Latest {
		return fmt.Errorf("no snapshot can be called %q: that is the newest", name)
	}
	return checkWord("name", name)
}

// encodeRecord makes the record's file.
func (r *Repo) encodeRecord(rec *Record) ([]byte, error) {
	data := encodeJSON(rec)
	if r.seal == nil {
		return data, nil
	}
	return r.seal.seal(r.o.Random, nil, data, []byte(rec.stem()+recordExt))
}

// decodeRecord reads the record's file, and holds it against place and repository.
func (r *Repo) decodeRecord(data []byte, series, id string) (*Record, error) {
	rec, err := r.openRecord(data, series, id)
	if err != nil {
		return nil, err
	}
	return rec, rec.check(r.config, series, id)
}

// openRecord reads the record's file, whatever it says.
func (r *Repo) openRecord(data []byte, series, id string) (*Record, error) {
	if r.seal != nil {
		var err error
		if data, err = r.seal.open(nil, data, []byte(stem(series, id)+recordExt)); err != nil {
			return nil, err
		}
	}
	var rec Record
	return &rec, json.Unmarshal(data, &rec)
}

// A facts is the manifest's file.
type facts struct {
	Head *manifest.Head `json:"head"`
	Tail *manifest.Tail `json:"tail"`
	// Areas are the bytes of the boot areas that the head names.
	Areas map[string][]byte `json:"areas,omitempty"`
}

func (r *Repo) encodeFacts(f facts, of string) ([]byte, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if len(plain) > maxManifest {
		return nil, fmt.Errorf("what is in use lies in so many pieces that its list has %d bytes; %d are possible", len(plain), maxManifest)
	}
	blocks, err := codec.NewBlocks(maxManifest, 1)
	if err != nil {
		return nil, err
	}
	defer blocks.Close()
	packed := blocks.Pack(nil, plain)
	if r.seal == nil {
		return packed, nil
	}
	return r.seal.seal(r.o.Random, nil, packed, []byte(of))
}

func (r *Repo) decodeFacts(data []byte, of string, size int64) (facts, error) {
	var f facts
	if r.seal != nil {
		var err error
		if data, err = r.seal.open(nil, data, []byte(of)); err != nil {
			return f, err
		}
	}
	blocks, err := codec.NewBlocks(maxManifest, 1)
	if err != nil {
		return f, err
	}
	defer blocks.Close()
	plain, err := blocks.Unpack(nil, data)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(plain, &f); err != nil {
		return f, err
	}
	switch {
	case f.Head == nil || f.Tail == nil:
		return f, errors.New("head or tail is missing")
	case f.Head.Version > manifest.Version:
		return f, fmt.Errorf("its version %d is younger than this program", f.Head.Version)
	case f.Head.Size != size || f.Head.Sector <= 0:
		return f, fmt.Errorf("it is of a disk of %d bytes, not of %d", f.Head.Size, size)
	}
	err = errors.Join(f.Tail.Used.Check(size), f.Tail.Unreadable.Check(size), f.Head.Unreadable.Check(size), f.checkAreas())
	f.Head.Unreadable = f.Head.Unreadable.Union(f.Tail.Unreadable)
	return f, err
}

// checkAreas holds the boot areas against what the head says of them.
func (f facts) checkAreas() error {
	for _, a := range f.Head.Areas {
		if got := boundOf(f.Areas[a.Name]); got.Size != a.Size || got.Sum != a.SHA256 {
			return fmt.Errorf("the boot area %s is not what the head says of it", a.Name)
		}
	}
	return nil
}

// ErrSignature is what a snapshot gives that is not signed by a trusted key.
var ErrSignature = errors.New("it is not signed by a key that is trusted")

// checkSignature holds the bytes of a record against its signature.
func checkSignature(trust []minisign.PublicKey, data, signature []byte) error {
	for _, key := range trust {
		if minisign.Verify(key, data, signature) {
			return nil
		}
	}
	return ErrSignature
}
