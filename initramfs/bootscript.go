package initramfs

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// U-Boot's legacy image header (include/image.h, struct legacy_img_hdr), big
// endian. A script's body begins with the length of the text and a zero.
const (
	uimageMagic  = 0x27051956
	uimageHeader = 64
	offTime      = 8
	offSize      = 12
	offDataCRC   = 24
	offOS        = 28 // OS, architecture, type, compression: a byte each
	offName      = 32
	nameSize     = 32

	osLinux, archARM, archARM64, typeScript, packNone = 5, 2, 22, 6, 0
)

// bootScript wraps the text of a boot script for U-Boot, as "mkimage -T script"
// does.
func bootScript(text, name string, bits int, date time.Time) []byte {
	body := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	body = append(binary.BigEndian.AppendUint32(body, 0), text...)
	h := make([]byte, uimageHeader, uimageHeader+len(body))
	binary.BigEndian.PutUint32(h, uimageMagic)
	binary.BigEndian.PutUint32(h[offTime:], uint32(max(0, date.Unix())))
	binary.BigEndian.PutUint32(h[offSize:], uint32(len(body)))
	binary.BigEndian.PutUint32(h[offDataCRC:], crc32.ChecksumIEEE(body))
	arch := byte(archARM64)
	if bits == 32 {
		arch = archARM
	}
	copy(h[offOS:], []byte{osLinux, arch, typeScript, packNone})
	copy(h[offName:offName+nameSize], name)
	binary.BigEndian.PutUint32(h[4:], crc32.ChecksumIEEE(h))
	return append(h, body...)
}
