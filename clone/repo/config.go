package repo

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"time"

	"lifeboat/clone/store"
)

// maxConfig bounds repository.json.
const maxConfig = 64 << 10

// A config is repository.json.
type config struct {
	Version      int    `json:"version"`
	ID           string `json:"id"`
	Chunk        int64  `json:"chunk"` // bytes
	GraceSeconds int64  `json:"grace_seconds"`
	Encrypted    bool   `json:"encrypted,omitempty"`
}

// InitOptions say how a repository is made.
type InitOptions struct {
	Chunk   int64         // bytes: a power of two; 0 = DefaultChunk
	Grace   time.Duration // 0 = DefaultGrace
	Encrypt Recipients    // who can open it; none = it is not encrypted
}

func (c InitOptions) config(random io.Reader) (config, error) {
	if c.Chunk == 0 {
		c.Chunk = DefaultChunk
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	id, err := randomHex(random, 8)
	if err != nil {
		return config{}, err
	}
	conf := config{configVersion, id, c.Chunk, int64(c.Grace / time.Second), !c.Encrypt.none()}
	return conf, conf.check()
}

func (c config) check() error {
	switch {
	case c.Version != configVersion:
		return fmt.Errorf("version %d of the format is not known, only %d is", c.Version, configVersion)
	case c.Chunk < MinChunk || c.Chunk > MaxChunk || bits.OnesCount64(uint64(c.Chunk)) != 1:
		return fmt.Errorf("a chunk size of %d bytes: it is a power of two from %d to %d", c.Chunk, MinChunk, MaxChunk)
	case c.GraceSeconds < int64(minGrace/time.Second) || c.GraceSeconds > int64(maxGrace/time.Second):
		return fmt.Errorf("a grace of %d seconds: it is between an hour and a year", c.GraceSeconds)
	case !isHex(c.ID, 16):
		return fmt.Errorf("the ID %q is not 16 hex digits", c.ID)
	}
	return nil
}

func (c config) encode() []byte { return encodeJSON(c) }

func decodeConfig(data []byte) (config, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return config{}, err
	}
	return c, c.check()
}

// encodeJSON is JSON that a person can read.
func encodeJSON(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(data, '\n')
}

// isHex tells whether s is n lower-case hex digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func randomHex(random io.Reader, bytes int) (string, error) {
	b := make([]byte, bytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

func putBytes(ctx context.Context, s store.Store, name string, data []byte) error {
	return s.Put(ctx, name, int64(len(data)), bytes.NewReader(data))
}

// A TooLargeError is a file of the repository that has more bytes than it can
// rightly have.
type TooLargeError struct {
	Name  string
	Limit int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has more than %d bytes, which it cannot rightly have", e.Name, e.Limit)
}

// read reads a whole file of at most limit bytes.
func (r *Repo) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	err := r.readInto(ctx, &buf, name, limit)
	return buf.Bytes(), err
}

func (r *Repo) readInto(ctx context.Context, buf *bytes.Buffer, name string, limit int64) error {
	body, info, err := store.Resume(ctx, r.s, name, r.o.Resume)
	if err != nil {
		return err
	}
	defer body.Close()
	if info.Size > limit {
		return &TooLargeError{name, limit}
	}
	buf.Reset()
	if _, err := buf.ReadFrom(io.LimitReader(body, limit+1)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if int64(buf.Len()) > limit {
		return &TooLargeError{name, limit}
	}
	if buf.Len() == 0 {
		return emptyError(name)
	}
	return nil
}

// stat looks at a file that has bytes if it was put.
func (r *Repo) stat(ctx context.Context, name string) (store.Info, error) {
	return stat(ctx, r.s, name)
}

func stat(ctx context.Context, s store.Store, name string) (store.Info, error) {
	info, err := store.Stat(ctx, s, name)
	if err == nil && info.Size == 0 {
		err = emptyError(name)
	}
	return info, err
}

// emptyError says that a file is not there: of no bytes is what FAT and exFAT have
// after a power loss of what was being put.
func emptyError(name string) error { return fmt.Errorf("%s is empty: %w", name, fs.ErrNotExist) }
