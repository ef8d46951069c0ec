package repo

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"sync"

	"lifeboat/clone/extent"
)

// An ID names a chunk: the SHA-512/256 of its bytes, or their HMAC where the
// repository is encrypted.
type ID [sha512.Size256]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// idOf names a chunk.
func (r *Repo) idOf(plain []byte) ID {
	if r.seal == nil {
		return sha512.Sum512_256(plain)
	}
	mac := r.digest()
	mac.Write(plain)
	return ID(mac.Sum(nil))
}

// idsOf names two chunks. What they have alike in front is digested once: where one
// block of many has changed, half of them on average.
func (r *Repo) idsOf(a, b []byte) (ID, ID) {
	first := r.digest()
	n := alike(a, b)
	first.Write(a[:n])
	second, err := first.(hash.Cloner).Clone()
	if err != nil {
		return r.idOf(a), r.idOf(b)
	}
	first.Write(a[n:])
	second.Write(b[n:])
	return ID(first.Sum(nil)), ID(second.Sum(nil))
}

// alike is how many bytes in front are the same in both, in whole blocks.
func alike(a, b []byte) int {
	const block = 4096
	n := 0
	for n+block <= min(len(a), len(b)) && bytes.Equal(a[n:n+block], b[n:n+block]) {
		n += block
	}
	return n
}

// digest makes an ID of what is written to it.
func (r *Repo) digest() hash.Hash {
	if r.seal == nil {
		return sha512.New512_256()
	}
	return hmac.New(sha512.New512_256, r.seal.ids)
}

// chunkName is where a chunk lies.
func (r *Repo) chunkName(id ID) string {
	x := id.String()
	if r.seal == nil {
		return plainChunks + x[:4] + "/" + x + chunkExt
	}
	return sealedChunks + x[:4] + "/" + x + sealedExt
}

// chunkPrefix is where all chunks lie.
func (r *Repo) chunkPrefix() string {
	if r.seal == nil {
		return plainChunks
	}
	return sealedChunks
}

// parseChunkName is the reverse of chunkName; false for what is no chunk.
func parseChunkName(name string) (ID, bool) {
	var id ID
	rest, plain := strings.CutPrefix(name, plainChunks)
	ext := chunkExt
	if !plain {
		if rest, plain = strings.CutPrefix(name, sealedChunks); !plain {
			return id, false
		}
		ext = sealedExt
	}
	dir, file, _ := strings.Cut(rest, "/")
	digits, ok := strings.CutSuffix(file, ext)
	if !ok || !isHex(digits, 2*len(id)) || !strings.HasPrefix(digits, dir) || len(dir) != 4 {
		return id, false
	}
	hex.Decode(id[:], []byte(digits))
	return id, true
}

// A DamageError is a chunk that is not what its ID says, or is not there.
type DamageError struct {
	ID  ID
	Err error // nil: its bytes are others
}

func (e *DamageError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("chunk %v: its bytes are not those that its name says: it is damaged", e.ID)
	}
	return fmt.Sprintf("chunk %v: %v", e.ID, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// pack makes the file of a chunk.
func (r *Repo) pack(dst []byte, id ID, plain []byte) ([]byte, error) {
	if r.seal == nil {
		return r.blocks.Pack(dst, plain), nil
	}
	return r.seal.seal(r.o.Random, dst, r.blocks.Pack(nil, plain), id[:])
}

// unpack is the reverse: the chunk's bytes, which are held against its ID.
func (r *Repo) unpack(dst []byte, id ID, packed []byte) ([]byte, error) {
	plain, err := r.decode(dst, id, packed)
	if err == nil && r.idOf(plain) != id {
		return nil, &DamageError{id, nil}
	}
	return plain, err
}

// decode is unpack for who holds the bytes against the ID by himself.
func (r *Repo) decode(dst []byte, id ID, packed []byte) ([]byte, error) {
	if r.seal != nil {
		var err error
		if packed, err = r.seal.open(nil, packed, id[:]); err != nil {
			return nil, &DamageError{id, err}
		}
	}
	plain, err := r.blocks.Unpack(dst[:0], packed)
	if err != nil {
		return nil, &DamageError{id, err}
	}
	return plain, nil
}

// An unpacker makes the bytes of a chunk out of its file.
type unpacker func(dst []byte, id ID, packed []byte) ([]byte, error)

// maxChunkFile is the most that a chunk's file can rightly have.
func (r *Repo) maxChunkFile() int64 { return r.blocks.MaxPacked() + sealOverhead }

// packedBuffers hold chunks as they lie in a store, while they are on their way.
var packedBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// fetch reads a chunk of size bytes into dst. with is unpack, or decode.
func (r *Repo) fetch(ctx context.Context, dst []byte, id ID, size int64, with unpacker) ([]byte, error) {
	buf := packedBuffers.Get().(*bytes.Buffer)
	defer packedBuffers.Put(buf)
	if err := r.readInto(ctx, buf, r.chunkName(id), r.maxChunkFile()); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &DamageError{id, err}
	}
	plain, err := with(dst, id, buf.Bytes())
	if err == nil && int64(len(plain)) != size {
		err = &DamageError{id, fmt.Errorf("it has %d bytes, its place has %d", len(plain), size)}
	}
	return plain, err
}

// zeroID is the ID of n zero bytes.
func (r *Repo) zeroID(n int64) ID {
	b := r.take()
	defer r.give(b)
	clear(b)
	return r.idOf(b[:n])
}

// span is the place of chunk n on a disk of size bytes.
func span(n, chunk, size int64) extent.Extent {
	return extent.Extent{Off: n * chunk, Len: min(chunk, size-n*chunk)}
}

// count is how many chunks a disk has.
func count(size, chunk int64) int64 { return (size-1)/chunk + 1 }
