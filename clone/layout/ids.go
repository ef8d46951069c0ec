package layout

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"lifeboat/clone/manifest"
)

// NewIDs gives the disk a new ID, and with it each part a new PARTUUID. The map
// holds what became of the old ones, the disk's ID among them. random must be
// good randomness: two disks with one ID boot each other's systems.
func NewIDs(t manifest.Table, random io.Reader) (manifest.Table, map[string]string, error) {
	changed := map[string]string{}
	old := t.ID
	id, err := newID(t, random)
	if err != nil {
		return manifest.Table{}, nil, fmt.Errorf("make a new disk ID: %w", err)
	}
	if t.ID = id; id != old {
		changed[old] = id
	}
	t.Entries = slices.Clone(t.Entries)
	for i := range t.Entries {
		e := &t.Entries[i]
		old := e.UUID
		switch t.Kind {
		case manifest.MBR:
			e.UUID = partUUID(id, e.Num)
		case manifest.GPT:
			if e.UUID, err = newGUID(random); err != nil {
				return manifest.Table{}, nil, fmt.Errorf("make a new PARTUUID for part %d: %w", e.Num, err)
			}
		}
		if old != "" {
			changed[old] = e.UUID
		}
	}
	return t, changed, nil
}

func newID(t manifest.Table, random io.Reader) (string, error) {
	switch t.Kind {
	case manifest.MBR:
		return newDiskID(t.ID, random)
	case manifest.GPT:
		return newGUID(random)
	}
	return t.ID, nil
}

// newDiskID never is the old one, nor 0, which stands for "none".
func newDiskID(old string, random io.Reader) (string, error) {
	for range 16 {
		var b [4]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", err
		}
		if id := fmt.Sprintf("%x", b); b != [4]byte{} && id != old {
			return id, nil
		}
	}
	return "", errors.New("the random source repeats itself")
}

// newGUID makes a version 4 UUID: RFC 9562, section 5.4.
func newGUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
