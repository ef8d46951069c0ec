package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// An Identity says whose disk it is, as far as that is known. The host's name
// is not part of it: docs/REPOSITORY.md, section 3.
type Identity struct {
	Serial  string `json:"serial,omitempty"`  // of the board
	Machine string `json:"machine,omitempty"` // /etc/machine-id of the system on the disk
	Disk    string `json:"disk,omitempty"`    // the ID in its partition table
}

// seriesLen is the length of a series' name.
const seriesLen = 16

// Series names the series that snapshots of such a disk belong to: 16 hex
// digits. It is "" where nothing at all is known: the caller must ask for one.
func (i Identity) Series() string {
	serial, machine, disk := word(i.Serial), word(i.Machine), word(i.Disk)
	if strings.Trim(serial, "0") == "" { // Linux, /proc/cpuinfo of boards that have none
		serial = ""
	}
	if machine == "uninitialized" { // systemd, machine-id(5): a system before its first boot
		machine = ""
	}
	switch {
	case serial != "" && machine != "":
		disk = "" // disks may be replaced
	case serial == "" && machine == "" && disk == "":
		return ""
	}
	sum := sha256.Sum256([]byte("lifeboat series\x00" + serial + "\x00" + machine + "\x00" + disk))
	return hex.EncodeToString(sum[:])[:seriesLen]
}

func word(s string) string { return strings.ToLower(strings.Trim(s, " \t\r\n\x00")) }
