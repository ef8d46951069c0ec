package live_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A writer is a busy system: it overwrites, appends with fsync, makes, renames
// and deletes files, and writes through a mapping, until its standard input
// ends. All that it writes carries a checksum.
type writer struct {
	dir  string
	slow time.Duration // how many times as long it pauses
	stop chan struct{}
}

// recordSize is a block of a file system: a record is whole, or it was not
// written.
const recordSize = 4096

// record fills b: its place, a sequence, noise, and a checksum of all of it.
func record(b []byte, place, seq uint64, r *rand.Rand) {
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	binary.LittleEndian.PutUint64(b, place)
	binary.LittleEndian.PutUint64(b[8:], seq)
	binary.LittleEndian.PutUint32(b[16:], 0)
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b))
}

// checkRecord tells whether b is one, and its sequence.
func checkRecord(b []byte, place uint64) (seq uint64, err error) {
	c := append([]byte(nil), b...)
	sum := binary.LittleEndian.Uint32(c[16:])
	binary.LittleEndian.PutUint32(c[16:], 0)
	if crc32.ChecksumIEEE(c) != sum || binary.LittleEndian.Uint64(c) != place {
		return 0, fmt.Errorf("record %d is damaged", place)
	}
	return binary.LittleEndian.Uint64(c[8:]), nil
}

// runWriter is the process of a writer.
func runWriter(dir string) error {
	w := &writer{dir: dir, slow: 1, stop: make(chan struct{})}
	if rest, ok := strings.CutPrefix(dir, "light "); ok {
		w.dir, w.slow = rest, 50
	}
	dir = w.dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for _, job := range []func(*rand.Rand) error{w.overwrite, w.log, w.churn, w.churn, w.large, w.mapped} {
		seed := rand.Uint64()
		all.Add(1)
		go func() {
			defer all.Done()
			if err := job(rand.New(rand.NewPCG(seed, 1))); err != nil {
				errs <- err
			}
		}()
	}
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	close(w.stop)
	all.Wait()
	close(errs)
	return errors.Join(<-errs)
}

// pause waits, and tells whether to go on.
func (w *writer) pause(d time.Duration) bool {
	select {
	case <-w.stop:
		return false
	case <-time.After(d * w.slow):
		return true
	}
}

const overwritten = 2048 // records

func (w *writer) overwrite(r *rand.Rand) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "records"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	b := make([]byte, recordSize)
	for i := range uint64(overwritten) {
		record(b, i, 0, r)
		if _, err := f.WriteAt(b, int64(i)*recordSize); err != nil {
			return err
		}
	}
	for seq := uint64(1); w.pause(300 * time.Microsecond); seq++ {
		i := r.Uint64N(overwritten)
		record(b, i, seq, r)
		if _, err := f.WriteAt(b, int64(i)*recordSize); err != nil {
			return err
		}
		if seq%64 == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return f.Close()
}

// log appends to a first file, then to a second, each synced: at no instant can
// the second be ahead, nor more than one behind.
func (w *writer) log(r *rand.Rand) error {
	var files [2]*os.File
	for i, name := range []string{"first.log", "second.log"} {
		f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		files[i] = f
	}
	b := make([]byte, 512)
	for seq := uint64(0); w.pause(2 * time.Millisecond); seq++ {
		for _, f := range files {
			record(b, seq, seq, r)
			if _, err := f.Write(b); err != nil {
				return err
			}
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
		}
	}
	return nil
}

// churn makes files whose name is their checksum, renames and deletes them.
func (w *writer) churn(r *rand.Rand) error {
	dir := filepath.Join(w.dir, fmt.Sprintf("churn%d", r.Uint32()))
	var names []string
	buf := make([]byte, 128<<10)
	for k := 0; w.pause(1500 * time.Microsecond); k++ {
		b := buf[:r.IntN(24<<10)]
		if k%40 == 0 {
			b = buf[:r.IntN(len(buf))]
		}
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], r.Uint64())
		}
		sub := filepath.Join(dir, fmt.Sprintf("d%02x", r.IntN(32)))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		tmp, name := filepath.Join(dir, "tmp"), filepath.Join(sub, fmt.Sprintf("%08x", crc32.ChecksumIEEE(b)))
		if err := writeSynced(tmp, b); err != nil {
			return err
		}
		if err := os.Rename(tmp, name); err != nil {
			return err
		}
		if names = append(names, name); len(names) > 300 {
			i := r.IntN(len(names))
			os.Remove(names[i])
			names[i], names = names[len(names)-1], names[:len(names)-1]
		}
	}
	return nil
}

// writeSynced makes a file whose bytes are on the disk before its new name: what
// applications do that care.
func writeSynced(name string, b []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// large allocates, writes, cuts, punches and deletes.
func (w *writer) large(r *rand.Rand) error {
	b := make([]byte, 256<<10)
	for k := 0; w.pause(20 * time.Millisecond); k++ {
		name := filepath.Join(w.dir, fmt.Sprintf("large%d", k%3))
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(2+r.IntN(4))<<20); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
		for i := range 4 {
			if _, err := f.WriteAt(b, int64(i)<<20); err != nil {
				return err
			}
		}
		switch k % 3 {
		case 0:
			err = f.Truncate(512 << 10)
		case 1:
			err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<20, 1<<20)
		}
		if k%2 == 0 {
			err = errors.Join(err, os.Remove(name))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// mapped writes through a shared mapping.
func (w *writer) mapped(r *rand.Rand) error {
	f, err := os.OpenFile(filepath.Join(w.dir, "mapped"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	const size = 8 << 20
	if err := f.Truncate(size); err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	for n := 0; w.pause(500 * time.Microsecond); n++ {
		binary.LittleEndian.PutUint64(m[r.IntN(size/8)*8:], r.Uint64())
		if n%512 == 0 {
			if err := unix.Msync(m, unix.MS_ASYNC); err != nil {
				return err
			}
		}
	}
	return unix.Munmap(m)
}

// checkWritten holds the files of a writer against their checksums.
func checkWritten(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, "records"))
	if err != nil {
		return err
	}
	for i := range uint64(len(b) / recordSize) {
		if _, err := checkRecord(b[i*recordSize:][:recordSize], i); err != nil {
			return fmt.Errorf("records: %w", err)
		}
	}
	var ends [2]int
	for i, name := range []string{"first.log", "second.log"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		ends[i] = len(b) / 512
		for n := range uint64(ends[i]) {
			if _, err := checkRecord(b[n*512:][:512], n); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if d := ends[0] - ends[1]; d != 0 && d != 1 {
		return fmt.Errorf("first.log has %d records, second.log %d: that was so at no instant", ends[0], ends[1])
	}
	return nil
}
