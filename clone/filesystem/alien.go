package filesystem

import (
	"bytes"
	"strings"

	"lifeboat/clone/manifest"
)

// aliens are what people have by mistake where an image of a disk is meant: the
// page of a network that wants a login, a film, the archive around the image.
// Places and bytes are those of file 5.44, magic/Magdir.
var aliens = []struct {
	off   int
	magic string
	what  string
}{
	{4, "ftyp", "a film (MP4)"},
	{0, "\x1a\x45\xdf\xa3", "a film (Matroska)"},
	{0, "RIFF", "a film or sound (RIFF)"},
	{0, "OggS", "a film or sound (Ogg)"},
	{0, "ID3", "sound (MP3)"},
	{0, "\xff\xd8\xff", "a picture (JPEG)"},
	{0, "\x89PNG\r\n", "a picture (PNG)"},
	{0, "GIF8", "a picture (GIF)"},
	{0, "%PDF-", "a document (PDF)"},
	{0, "7z\xbc\xaf\x27\x1c", "an archive (7z)"},
	{0, "Rar!\x1a\x07", "an archive (RAR)"},
	{257, "ustar", "an archive (tar)"},
	{0, "!<arch>\n", "a package (deb)"},
	{0, "\x7fELF", "a program"},
	{0, "MZ", "a program for Windows"},
	{0, "conectix", "a disk of a virtual machine (VHD)"},
	{0, "KDMV", "a disk of a virtual machine (VMDK)"},
	{0, "QFI\xfb", "a disk of a virtual machine (qcow2)"},
}

const alienPrefix = "it begins as "

// alien says what the first bytes of something without a known file system look
// like; "" where that is nothing.
func alien(head []byte) string {
	text := bytes.ToLower(bytes.TrimLeft(head[:min(512, len(head))], "\xef\xbb\xbf \t\r\n"))
	for _, tag := range []string{"<!doctype html", "<html", "<?xml", "<head", "<script"} {
		if bytes.HasPrefix(text, []byte(tag)) {
			return alienPrefix + "a web page or other text does"
		}
	}
	for _, a := range aliens {
		if len(head) >= a.off+len(a.magic) && string(head[a.off:a.off+len(a.magic)]) == a.magic {
			return alienPrefix + a.what + " does"
		}
	}
	return ""
}

// IsAlien tells whether what Probe found nothing in is the beginning of something
// that is kept in files, not on disks; Detail says of what.
func IsAlien(fs manifest.FS) bool {
	return fs.Type == "" && strings.HasPrefix(fs.Detail, alienPrefix)
}
