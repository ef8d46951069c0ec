// Package repo answers: how are many snapshots of disks kept in little room? A
// repository is a store in which each chunk lies once, in casync's layout;
// docs/REPOSITORY.md says what lies where, and why nothing is lost though
// several write, one prunes, and nobody locks.
//
// It is one end of a flow: a sink takes a backup into a snapshot, a source
// gives one back. It knows neither file systems nor a host, nor which snapshots
// are worth keeping.
package repo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"aead.dev/minisign"

	"lifeboat/clone/codec"
	"lifeboat/clone/store"
)

// Names in the store: docs/REPOSITORY.md, section 1.
const (
	configName    = "repository.json"
	keyName       = "key.age"
	catalogName   = "catalog.json"
	pruningName   = "pruning.json"
	plainChunks   = "chunks.castr/"
	sealedChunks  = "chunks.sealed/"
	snapshotsDir  = "snapshots/"
	intentsDir    = "intents/"
	condemnedDir  = "condemned/"
	chunkExt      = ".cacnk"
	sealedExt     = ".sealed"
	indexExt      = ".caibx"
	manifestExt   = ".manifest"
	recordExt     = ".json"
	signatureExt  = ".json.minisig"
	configVersion = 1
)

// Delay is how long a request to the store may take to have its effect, and so
// how long a prune may act on what it decided.
const Delay = 5 * time.Minute

// Chunk sizes that a repository may have, and what it has unless told.
const (
	MinChunk     = 256 << 10
	MaxChunk     = 4 << 20
	DefaultChunk = 512 << 10
	DefaultGrace = 24 * time.Hour
	minGrace     = time.Hour
	maxGrace     = 365 * 24 * time.Hour
)

// ErrNoRepository is what Open gives where there is none.
var ErrNoRepository = errors.New("no repository is here")

// ErrExists is what Init gives where there is one already.
var ErrExists = errors.New("a repository is here already")

// ErrKey is what an encrypted repository gives without what opens it.
var ErrKey = errors.New("the repository is encrypted, and what was given does not open it")

// Options say how a repository is used.
type Options struct {
	Keys    Keys                 // of an encrypted one
	Trust   []minisign.PublicKey // records must be signed by one of these; none = not asked
	Workers int                  // chunks under way at once; 0 = 4
	Logf    func(format string, args ...any)
	Clock   func() time.Time // nil = time.Now
	Random  io.Reader        // nil = crypto/rand
	Resume  store.ResumeOptions
	delay   time.Duration // for tests; 0 = Delay
}

// usualWorkers is one for each core of a Raspberry Pi; where there are two cores,
// some wait for the store. Each has two buffers of a chunk, and a packer.
const usualWorkers = 4

func (o Options) defaults() Options {
	if o.Workers <= 0 {
		o.Workers = usualWorkers
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.delay <= 0 {
		o.delay = Delay
	}
	return o
}

// A Repo is an open repository. Close frees its buffers; it may be used by many
// goroutines at once.
type Repo struct {
	// config
	s      store.Store
	o      Options
	config config
	seal   *sealer // nil = not encrypted

	// state
	blocks *codec.Blocks
	plain  chan []byte // buffers of the size of a chunk
}

// Made is what Init has made.
type Made struct {
	Chunk     int64 // bytes
	Encrypted bool
	Snapshots int // that were there: only repository.json was lost
}

// Init makes a repository in a store where there is none. What was there else
// stays. Where snapshots are, it is theirs again: c says the grace only then, and
// o.Keys open an encrypted one.
func Init(ctx context.Context, s store.Store, c InitOptions, o Options) (Made, error) {
	o = o.defaults()
	_, err := stat(ctx, s, configName)
	switch {
	case err == nil:
		return Made{}, ErrExists
	case !errors.Is(err, fs.ErrNotExist):
		return Made{}, err
	}
	conf, err := c.config(o.Random)
	if err != nil {
		return Made{}, err
	}
	was, there, err := remnant(ctx, s, o)
	if err != nil {
		return Made{}, err
	}
	switch {
	case was != nil && conf.Encrypted && !was.Encrypted:
		return Made{}, fmt.Errorf("%d snapshots are there that are not encrypted: %w", there, ErrExists)
	case was != nil:
		was.GraceSeconds = conf.GraceSeconds
		conf = *was
	case conf.Encrypted:
		if err := c.putKey(ctx, s, o.Random); err != nil {
			return Made{}, err
		}
	}
	return Made{conf.Chunk, conf.Encrypted, there}, putBytes(ctx, s, configName, conf.encode())
}

// Open opens the repository in a store. ErrNoRepository says that there is none,
// ErrKey that it is encrypted and o.Keys do not open it.
func Open(ctx context.Context, s store.Store, o Options) (*Repo, error) {
	r := &Repo{s: s, o: o.defaults()}
	data, err := r.read(ctx, configName, maxConfig)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) { // an image, say
		if keys, err := r.keys(ctx, snapshotsDir); err == nil && len(keys) > 0 {
			return nil, fmt.Errorf("%w any more: %s is lost, %d snapshots are there", ErrNoRepository, configName, len(keys))
		}
		return nil, ErrNoRepository
	}
	if err != nil {
		return nil, err
	}
	if r.config, err = decodeConfig(data); err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	if r.config.Encrypted {
		if r.seal, err = openKey(ctx, r, r.o.Keys); err != nil {
			return nil, err
		}
	}
	if r.blocks, err = codec.NewBlocks(r.config.Chunk, r.o.Workers); err != nil {
		return nil, err
	}
	r.plain = make(chan []byte, r.o.Workers+2)
	return r, nil
}

// Close frees the buffers.
func (r *Repo) Close() error {
	r.blocks.Close()
	return nil
}

// ID names the repository: 16 hex digits.
func (r *Repo) ID() string { return r.config.ID }

// Chunk is the size of a chunk in bytes.
func (r *Repo) Chunk() int64 { return r.config.Chunk }

// Grace is how long prune waits before it removes what nobody needs.
func (r *Repo) Grace() time.Duration { return time.Duration(r.config.GraceSeconds) * time.Second }

// Encrypted tells whether a key is needed, and casync cannot read it.
func (r *Repo) Encrypted() bool { return r.config.Encrypted }

// take gives a buffer of the size of a chunk, with any content.
func (r *Repo) take() []byte {
	select {
	case b := <-r.plain:
		return b
	default:
		return make([]byte, r.config.Chunk)
	}
}

// give takes a buffer back.
func (r *Repo) give(b []byte) {
	select {
	case r.plain <- b[:r.config.Chunk]:
	default:
	}
}
