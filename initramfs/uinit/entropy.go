package uinit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// seedEntropy gives the kernel random numbers to begin with. Boards without a
// generator in hardware have none for minutes, and DHCP and TLS hang. The seed
// comes with the image and may be known to others: it does for names of
// transactions and session keys, not for keys that are kept.
func seedEntropy() error {
	seed, err := os.ReadFile("/etc/random-seed")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pool, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := addEntropy(pool.Fd(), mixSeed(seed, time.Now(), os.DirFS("/proc"))); err != nil {
		return fmt.Errorf("credit the seed: %w", err)
	}
	return nil
}

// mixSeed hashes the seed with what differs between boards and between boots.
func mixSeed(seed []byte, now time.Time, proc fs.FS) [32]byte {
	h := sha256.New()
	h.Write(seed)
	binary.Write(h, binary.LittleEndian, now.UnixNano())
	for _, name := range []string{"interrupts", "device-tree/serial-number", "meminfo", "uptime", "stat"} {
		data, err := fs.ReadFile(proc, name)
		fmt.Fprint(h, name, len(data), err == nil)
		h.Write(data)
	}
	return [32]byte(h.Sum(nil))
}
