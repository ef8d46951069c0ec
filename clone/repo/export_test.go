package repo

import (
	"crypto/sha512"
	"time"
)

// For tests.
var (
	DecodeIndex  = decodeIndex
	DecodeConfig = decodeConfig
)

// WithDelay sets how long a request may take.
func (o Options) WithDelay(d time.Duration) Options {
	o.delay = d
	return o
}

// Files are the names of a snapshot's index, manifest and record.
func (s *Snapshot) Files() (index, manifest, record string) {
	return s.stem() + indexExt, s.stem() + manifestExt, s.stem() + recordExt
}

// Stem is where the files of a snapshot lie, without what they end with.
func (s *Snapshot) Stem() string { return s.stem() }

// ChunkName is where a chunk lies.
func (r *Repo) ChunkName(id ID) string { return r.chunkName(id) }

// IDs are the chunks of an index.
func (x *index) IDs() []ID { return x.ids }

// Encode makes the file.
func (x *index) Encode() []byte { return x.encode() }

// DecodeSmall meets every decoder of a small file, and tells what names came out.
func DecodeSmall(r *Repo, b []byte) (names []string, ok bool) {
	decodeConfig(b)
	r.decodeRecord(b, "0123456789abcdef", "20261124T021500Z-5f0c9a1e")
	r.decodeFacts(b, "x", 1<<20)
	if i, err := decodeIntent(b); err == nil && i.Base != "" {
		names = append(names, snapshotsDir+i.Base)
	}
	if c, err := decodeCondemned(b); err == nil {
		names = append(names, c.Files...)
		eachID(c.Chunks, func(ID) {})
	}
	if keys, err := decodeCatalog(b); err == nil {
		for _, k := range keys {
			names = append(names, k.stem())
		}
	}
	return names, len(names) > 0
}

// UnpackAny unpacks a chunk whatever its name; nil where it is none.
func UnpackAny(r *Repo, packed []byte) ([]byte, ID) {
	plain, err := r.blocks.Unpack(nil, packed)
	if err != nil {
		return nil, ID{}
	}
	return plain, r.idOf(plain)
}

// UnpackAs unpacks a chunk of a name.
func UnpackAs(r *Repo, packed []byte, id ID) error {
	_, err := r.unpack(nil, id, packed)
	return err
}

// IDs are the chunks of a snapshot.
func (s *Source) IDs() []ID { return s.index.ids }

// Digest is the digest of some bytes.
func Digest(b []byte) []byte {
	sum := sha512.Sum512_256(b)
	return sum[:8]
}
