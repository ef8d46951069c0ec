package ext4

import (
	"encoding/binary"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the kernel's crc32c_le: neither the seed nor the result is
// inverted.
func crc32c(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, castagnoli, p)
}

func crc32cLE32(seed, v uint32) uint32 {
	return crc32c(seed, binary.LittleEndian.AppendUint32(nil, v))
}

// crc16 is the kernel's crc16 (lib/crc16.c), which uninit_bg uses.
func crc16(seed uint16, p []byte) uint16 {
	for _, b := range p {
		seed ^= uint16(b)
		for range 8 {
			seed = seed>>1 ^ 0xa001*(seed&1)
		}
	}
	return seed
}

var bigEndianTable = makeBigEndianTable()

func makeBigEndianTable() *[256]uint32 {
	var t [256]uint32
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			c = c<<1 ^ 0x04c11db7*(c>>31)
		}
		t[i] = c
	}
	return &t
}

// crc32be is the kernel's crc32_be, which journals with the first kind of
// checksums use.
func crc32be(seed uint32, p []byte) uint32 {
	for _, b := range p {
		seed = seed<<8 ^ bigEndianTable[byte(seed>>24)^b]
	}
	return seed
}
