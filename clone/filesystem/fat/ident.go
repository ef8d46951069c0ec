package fat

import (
	"fmt"
	"strconv"
	"strings"
)

// noLabel is what the boot sector says where there is no label.
const noLabel = "NO NAME    "

// SetSerial gives the file system in a part of size bytes another serial
// number, written as in FS.Serial; also in the backup boot sector.
func SetSerial(rw ReadWriterAt, size int64, serial string) error {
	n, err := parseSerial(serial)
	if err != nil {
		return err
	}
	err = editBoot(rw, size, func(b []byte) {
		if b[offExt] != extLabel {
			b[offExt] = extSerial
		}
		le.PutUint32(b[offSerial:], n)
	})
	if err != nil {
		return fmt.Errorf("set serial %s: %w", serial, err)
	}
	return nil
}

// parseSerial reads "1234-ABCD".
func parseSerial(serial string) (uint32, error) {
	high, low, found := strings.Cut(serial, "-")
	n, err := strconv.ParseUint(high+low, 16, 32)
	if !found || len(high) != 4 || len(low) != 4 || err != nil {
		return 0, fmt.Errorf("serial %q is not of the form 1234-ABCD", serial)
	}
	return uint32(n), nil
}

// SetLabel gives the file system in a part of size bytes another label, up to
// 11 characters, or with "" none: in the root directory, and in both boot
// sectors.
func SetLabel(rw ReadWriterAt, size int64, label string) error {
	if err := setLabel(rw, size, label); err != nil {
		return fmt.Errorf("set label %q: %w", label, err)
	}
	return nil
}

func setLabel(rw ReadWriterAt, size int64, label string) error {
	a, err := checkLabel(label)
	if err != nil {
		return err
	}
	e, err := Edit(rw, size)
	if err != nil {
		return err
	}
	if err := e.labelRoot(label, a); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	return editBoot(rw, size, func(b []byte) {
		if b[offExt] != extLabel {
			return // there is no room for one
		}
		copy(b[offLabel:offLabel+len(a)], a[:])
		if label == "" {
			copy(b[offLabel:], noLabel)
		}
	})
}

// checkLabel pads a label. Lower case is left as it is: Raspberry Pi OS calls
// its boot part "bootfs".
func checkLabel(label string) (a alias, err error) {
	a = alias([]byte("           "))
	bad := func(r rune) bool { return r < 0x20 || r > 0x7e || strings.ContainsRune(`*?.,;:/\|+=<>[]"`, r) }
	switch {
	case len(label) > len(a):
		return a, fmt.Errorf("label %q has more than %d characters", label, len(a))
	case strings.ContainsFunc(label, bad):
		return a, fmt.Errorf("label %q has characters that FAT does not allow", label)
	case strings.HasPrefix(label, " "):
		return a, fmt.Errorf("label %q begins with a space", label)
	}
	copy(a[:], label)
	return a, nil
}

// labelRoot changes the label in the root directory.
func (e *Editor) labelRoot(label string, a alias) error {
	d, err := e.v.readDir(0)
	if err != nil {
		return err
	}
	add := addition{attr: attrLabel, alias: a}
	switch {
	case label == "" && d.label < 0:
		return nil
	case label == "":
		d.slot(d.label)[0] = slotFree
	case d.label >= 0:
		copy(d.slot(d.label), newSlot(a, attrLabel, 0, 0, e.now()))
	default:
		if err := e.findRoom(d, &add); err != nil {
			return err
		}
		if err := e.begin(add.grow); err != nil {
			return err
		}
		return e.insert(d, add)
	}
	return e.store(d, d.sectors(d.label, d.label+1, e.v.sector))
}

// editBoot changes the block of the boot sector that holds serial and label;
// first in the backup, which counts only where the first one is unreadable.
func editBoot(rw ReadWriterAt, size int64, change func(b []byte)) error {
	_, g, _, err := readBoot(rw, size)
	if err != nil {
		return err
	}
	offs := []int64{0}
	if g.backupOff > 0 {
		offs = []int64{g.backupOff, 0}
	}
	for _, off := range offs {
		b := make([]byte, g.sector)
		if err := readFull(rw, b, off); err != nil {
			return fmt.Errorf("boot sector at %d: %w", off, err)
		}
		if le.Uint16(b[offSignature:]) != signature {
			continue // a backup that was never written
		}
		change(b[g.base():])
		if _, err := rw.WriteAt(b, off); err != nil {
			return fmt.Errorf("boot sector at %d: %w", off, err)
		}
	}
	if s, ok := rw.(interface{ Sync() error }); ok {
		return s.Sync()
	}
	return nil
}
