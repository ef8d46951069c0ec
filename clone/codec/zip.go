package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// zip: offsets in a local file header, flags and methods. Source: PKWARE
// APPNOTE.TXT 6.3.10, sections 4.3.7, 4.4.4, 4.4.5, 4.5.3.
const (
	zipLocalLen     = 30
	zipOffFlags     = 6
	zipOffMethod    = 8
	zipOffCRC       = 14
	zipOffPacked    = 18
	zipOffUnpacked  = 22
	zipOffNameLen   = 26
	zipOffExtraLen  = 28
	zipEncrypted    = 1 << 0
	zipDescriptor   = 1 << 3
	zipStrong       = 1 << 6
	zipMasked       = 1 << 13
	zipStored       = 0
	zipDeflated     = 8
	zipExtra64      = 0x0001
	zipNameMax      = 4096
	zipMembersMax   = 65536
	zipDescriptor64 = 24
)

var (
	zipLocalMagic      = []byte("PK\x03\x04")
	zipDescriptorMagic = []byte("PK\x07\x08")
)

// A zipMember is a local file header, and then a reader of what follows it.
type zipMember struct {
	name             string
	flags, method    uint16
	crc              uint32
	packed, unpacked int64 // bytes

	z    *Reader
	dec  io.Reader
	sum  hash.Hash32
	read int64
	done error
}

// startZip goes from member to member of a zip stream up to the wanted one.
func (z *Reader) startZip(member string) error {
	for n := 0; magicAt(z.in.buf, zipLocalMagic) && n < zipMembersMax; n++ {
		m, err := z.zipNext()
		if err != nil {
			return err
		}
		if wanted(m.name, member) {
			if err := m.open(); err != nil {
				return err
			}
			z.Name, z.dec = m.name, m
			if m.flags&zipDescriptor == 0 {
				z.Size = m.unpacked
			}
			return nil
		}
		if err := m.skip(); err != nil {
			return fmt.Errorf("member %q: %w", m.name, err)
		}
	}
	if z.in.err == io.EOF && !magicAt(z.in.buf, []byte("PK")) {
		return io.ErrUnexpectedEOF
	}
	return noMember(member)
}

// noMember says what a zip file lacks.
func noMember(member string) error {
	if member == "" {
		return errors.New("holds no disk image (*.img, *.iso, *.raw)")
	}
	return fmt.Errorf("holds no member %q", member)
}

// zipNext reads a local file header.
func (z *Reader) zipNext() (*zipMember, error) {
	var b [zipLocalLen]byte
	if _, err := io.ReadFull(z.in.buf, b[:]); err != nil {
		return nil, noEOF(err)
	}
	le := binary.LittleEndian
	nameLen, extraLen := int(le.Uint16(b[zipOffNameLen:])), int(le.Uint16(b[zipOffExtraLen:]))
	if nameLen > zipNameMax {
		return nil, fmt.Errorf("a member's name has %d bytes, more than %d", nameLen, zipNameMax)
	}
	rest := make([]byte, nameLen+extraLen) // at most 4 KiB and 64 KiB
	if _, err := io.ReadFull(z.in.buf, rest); err != nil {
		return nil, noEOF(err)
	}
	m := &zipMember{
		z: z, name: string(rest[:nameLen]),
		flags: le.Uint16(b[zipOffFlags:]), method: le.Uint16(b[zipOffMethod:]),
		crc:    le.Uint32(b[zipOffCRC:]),
		packed: int64(le.Uint32(b[zipOffPacked:])), unpacked: int64(le.Uint32(b[zipOffUnpacked:])),
		sum: crc32.NewIEEE(),
	}
	return m, m.zip64(rest[nameLen:])
}

// zip64 takes sizes that do not fit into 32 bits from the extra field.
func (m *zipMember) zip64(extra []byte) error {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, size := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			break
		}
		field := extra[:size]
		extra = extra[size:]
		if id != zipExtra64 {
			continue
		}
		for _, p := range []*int64{&m.unpacked, &m.packed} {
			if *p != math.MaxUint32 || len(field) < 8 {
				continue
			}
			v := le.Uint64(field)
			if v > math.MaxInt64 {
				return fmt.Errorf("member %q: its size of %d bytes is not possible", m.name, v)
			}
			*p, field = int64(v), field[8:]
		}
	}
	return nil
}

// open begins to unpack.
func (m *zipMember) open() error {
	switch {
	case m.flags&(zipEncrypted|zipStrong|zipMasked) != 0:
		return fmt.Errorf("member %q is encrypted", m.name)
	case m.method == zipDeflated:
		m.dec = inflate(m.z.in.buf)
	case m.method == zipStored && m.flags&zipDescriptor != 0:
		return fmt.Errorf("member %q: its length stands behind it: %w", m.name, ErrNotStreamable)
	case m.method == zipStored:
		if m.packed != m.unpacked {
			return fmt.Errorf("member %q is not packed, and yet has two sizes", m.name)
		}
		m.dec = &countReader{r: m.z.in.buf, left: m.packed}
	default:
		return fmt.Errorf("member %q is packed by method %d, only stored (0) and deflated (8) are known", m.name, m.method)
	}
	return nil
}

// skip reads over a member. One without a descriptor is not unpacked.
func (m *zipMember) skip() error {
	if m.flags&zipDescriptor == 0 {
		_, err := io.CopyN(io.Discard, m.z.in.buf, m.packed)
		return noEOF(err)
	}
	if err := m.open(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, m)
	return err
}

// Read unpacks, and checks size and CRC-32 at the end.
func (m *zipMember) Read(p []byte) (int, error) {
	if m.done != nil {
		return 0, m.done
	}
	n, err := m.dec.Read(p)
	m.sum.Write(p[:n])
	m.read += int64(n)
	if err == io.EOF {
		if err = m.check(); err == nil {
			err = io.EOF
		}
	}
	m.done = err
	return n, err
}

func (m *zipMember) check() error {
	if m.flags&zipDescriptor != 0 {
		return m.checkDescriptor()
	}
	if m.read != m.unpacked {
		return fmt.Errorf("member %q unpacks to %d bytes, its header says %d", m.name, m.read, m.unpacked)
	}
	if m.sum.Sum32() != m.crc {
		return fmt.Errorf("member %q: CRC-32 is %08x, %08x was expected", m.name, m.sum.Sum32(), m.crc)
	}
	return nil
}

// checkDescriptor takes the data descriptor (4.3.9): its signature is optional,
// its sizes have 4 or 8 bytes, and nothing says which. So all four forms are
// tried on what was counted.
func (m *zipMember) checkDescriptor() error {
	b, _ := m.z.in.buf.Peek(zipDescriptor64)
	for _, skip := range []int{len(zipDescriptorMagic), 0} {
		if skip > 0 && !magicAt(m.z.in.buf, zipDescriptorMagic) {
			continue
		}
		for _, width := range []int{8, 4} {
			if end := skip + 4 + 2*width; len(b) >= end && m.describes(b[skip:end], width) {
				_, err := m.z.in.buf.Discard(end)
				return err
			}
		}
	}
	if len(b) < 4+4+4 {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("member %q: its CRC-32 or its size of %d bytes is not the one that stands behind it", m.name, m.read)
}

func (m *zipMember) describes(b []byte, width int) bool {
	le := binary.LittleEndian
	if le.Uint32(b) != m.sum.Sum32() {
		return false
	}
	if width == 8 {
		return le.Uint64(b[4+8:]) == uint64(m.read)
	}
	return le.Uint32(b[4+4:]) == uint32(m.read)
}

// countReader yields left bytes, and minds if there are fewer.
type countReader struct {
	r    io.Reader
	left int64
}

func (c *countReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.left == 0 {
		return n, nil
	}
	return n, noEOF(err)
}

// noEOF is for places where an end is not expected.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
