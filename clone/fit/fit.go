// Package fit answers: how does an ext file system come to lie in a smaller
// part? Blocks that lie behind the part's end are parked where resize2fs will
// want them; a virtual device shows the file system at its full size, and the
// real e2fsck and resize2fs work on that; what they move is a change of a
// table. Then everything is put in its final place, and the superblock is the
// last write.
//
// It changes no source, makes no partition, and knows nothing of disks: it
// reads and writes what its caller lends.
package fit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/progress"
)

// A Target is the smaller part.
type Target interface {
	io.ReaderAt
	io.WriterAt
	WriteZeros(ctx context.Context, e extent.Extent) error
	Sync(ctx context.Context) error
}

// Options are what a Parker needs.
type Options struct {
	Facts  *Facts // of the file system as it is now
	To     Target
	Size   int64       // of the target, bytes
	From   io.ReaderAt // the source where it can be read at any place; nil: all comes by Put
	Memory int64       // bytes for blocks without a place; 0 = DefaultMemory

	// Run starts a program and waits for it: filesystem.ExecBound. The path that it gets is a
	// file of this process's virtual file system.
	Run func(ctx context.Context, name string, args ...string) (output []byte, code int, err error)
	// OpenFuse opens /dev/fuse for reading and writing. The file must not be
	// inherited by programs, or they hang for ever when this process is killed.
	OpenFuse func() (*os.File, error)

	Meter *progress.Meter // counts the bytes that Put took
	Logf  func(format string, args ...any)
}

// DefaultMemory is what homeless blocks and the batches of Settle share, bytes.
const DefaultMemory = 32 << 20

// A Parker lays one file system in a smaller place. Its methods are called one
// after the other, in one of two orders:
//
//   - From a stream: Start, Put of all that is in use, Shrink, Settle, Finish.
//   - From a source that can be read again (Options.From): Start, Shrink,
//     Settle, then Put of all of Want, Finish. Up to Put only metadata are
//     written: Trial does so in memory, and tells whether it fits. Carry is what
//     is left of the three then.
//
// Patch may follow the puts of a stream. After an error the target holds neither
// old nor new, and cannot be mounted.
type Parker struct {
	// config
	o       Options
	tables  extent.Set // where resize2fs moves nothing by its block mover
	planned bool       // the data come last

	// state
	dev     *device
	free    extent.Set // what is left of the predicted places
	lesson  lesson     // where what is in use is not known beforehand
	frag    fragment   // a block that has not come whole yet
	final   *Facts     // of the file system once it is smaller
	pieces  []Piece    // by Src, what Put brings once the plan is made
	ends    []int64    // of the pieces up to each
	missing int64      // bytes of the pieces
	settled bool
}

// New makes a Parker. It touches nothing.
func New(o Options) (*Parker, error) {
	f := o.Facts
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	room := f.room(o.Size)
	if room <= superBlock(f.Block) || room > f.Size/f.Block {
		return nil, fmt.Errorf("a file system of %d bytes is not to be made smaller in %d bytes", f.Size, o.Size)
	}
	p := &Parker{o: o, tables: f.clusterTables(), planned: o.From != nil}
	p.dev = newDevice(o, room)
	if f.Used != nil {
		p.free = extent.Of(extent.Extent{Off: f.geo.First * f.Block, Len: (room - f.geo.First) * f.Block}).Subtract(f.Used)
	}
	return p, nil
}

// room is the number of blocks that size bytes are good for. resize2fs moves
// other blocks than one would think where a cluster is cut.
func (f *Facts) room(size int64) int64 {
	return size / (f.Block * f.geo.ClusterBlocks) * f.geo.ClusterBlocks
}

// superBlock is the number of the block that holds the superblock.
func superBlock(block int64) int64 { return ext4.SuperOff / block }

// Start asks whether the programs at hand know the file system, and makes the
// target unfit to be mounted: the first write. *RefusedError comes before it.
func (p *Parker) Start(ctx context.Context) error {
	if err := p.o.Facts.Supported(ctx, p.o.Run); err != nil {
		return err
	}
	if err := p.destroy(ctx); err != nil {
		return err
	}
	if p.planned {
		return p.dev.showSource()
	}
	return nil
}

// destroy takes the old superblock away.
func (p *Parker) destroy(ctx context.Context) error {
	bs := p.o.Facts.Block
	err := p.o.To.WriteZeros(ctx, extent.Extent{Off: 0, Len: (superBlock(bs) + 1) * bs})
	if err == nil {
		err = p.o.To.Sync(ctx)
	}
	if err != nil {
		return fmt.Errorf("destroy the old superblock: %w", err)
	}
	return nil
}

// Finish makes the file system whole: its superblock is the last write.
func (p *Parker) Finish(ctx context.Context) error {
	if !p.settled {
		panic("BUG: fit finished before it was settled")
	}
	if p.missing > 0 {
		return fmt.Errorf("%d bytes of file data never came", p.missing)
	}
	if err := p.o.To.Sync(ctx); err != nil {
		return err
	}
	d := p.dev
	if _, err := p.o.To.WriteAt(d.head, d.headBlock*d.block); err != nil {
		return fmt.Errorf("write the superblock: %w", err)
	}
	return p.o.To.Sync(ctx)
}

// Used is what the file system has in use, bytes, after Shrink.
func (p *Parker) Used() int64 { return p.final.Used.Bytes() }

// Size is the file system's new size, bytes, after Shrink.
func (p *Parker) Size() int64 { return p.final.Size }

// Stats are what a Parker wrote and moved, bytes.
type Stats struct {
	Home     int64 // written at once at their place
	Parked   int64 // written for blocks behind the target's end
	Meta     int64 // written by e2fsck and resize2fs
	Settled  int64 // written to come to their final place
	Moved    int64 // moved by a change of the table
	Missed   int64 // of them, not parked where they were to be
	GivenUp  int64 // old copies given up for want of room
	Homeless int64 // most that lay in memory
}

// Written is the sum of all writes.
func (s Stats) Written() int64 { return s.Home + s.Parked + s.Meta + s.Settled }

// Stats may be asked at any time.
func (p *Parker) Stats() Stats {
	p.dev.mu.Lock()
	defer p.dev.mu.Unlock()
	return p.dev.stats
}

func (p *Parker) logf(format string, args ...any) {
	if p.o.Logf != nil {
		p.o.Logf(format, args...)
	}
}

// errNoRoom is what a write to the virtual device returns where neither the
// target nor the memory has a place left.
var errNoRoom = errors.New("no place is left for one more block")
