package disk

import (
	"io/fs"
	"path"
	"strings"
	"unicode"
)

// describe fills in what people know a disk by: model, serial, how it is
// connected.
func (s *Sys) describe(d *Disk, dir string) {
	place := s.place(dir)
	d.Bus = s.bus(d.Name, dir, place)
	d.Slot = slot(d.Bus)
	device := dir + "/device"
	switch d.Bus {
	case "sd", "emmc":
		d.Model, d.Serial = s.text(device+"/name"), s.text(device+"/serial")
	case "virtio":
		d.Serial = s.text(dir + "/serial")
	case "loop":
		d.Model = s.text(dir + "/loop/backing_file")
	default:
		d.Model = strings.TrimSpace(s.vendor(device) + " " + s.text(device+"/model"))
		d.Serial = s.serial(d.Bus, device, place)
	}
	d.Model, d.Serial = printable(d.Model), printable(d.Serial)
}

// place is where in the tree of devices the disk hangs:
// "devices/pci0000:00/…/usb1/1-1/…/block/sda".
func (s *Sys) place(dir string) string {
	link, err := fs.ReadLink(s.Sys, dir)
	if err != nil {
		return dir
	}
	return path.Join(path.Dir(dir), link)
}

func (s *Sys) bus(name, dir, place string) string {
	switch {
	case strings.HasPrefix(name, "mmcblk"):
		if s.text(dir+"/device/type") == "MMC" {
			return "emmc"
		}
		return "sd"
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "ubd"):
		return "ubd"
	case !strings.HasPrefix(name, "sd"):
		return strings.TrimRightFunc(name, unicode.IsDigit)
	}
	for _, step := range strings.Split(place, "/") {
		switch strings.TrimRightFunc(step, unicode.IsDigit) {
		case "usb":
			return "usb"
		case "ata":
			return "ata"
		}
	}
	return "scsi"
}

// slot says a bus in the words of a job.
func slot(bus string) string {
	switch bus {
	case "sd", "emmc", "usb", "nvme", "virtio":
		return bus
	case "ata":
		return "sata"
	case "ubd": // the virtual disk of User-Mode Linux
		return "virtio"
	}
	return ""
}

// vendor is the SCSI vendor, but for the word that stands there for all ATA
// disks.
func (s *Sys) vendor(device string) string {
	if v := s.text(device + "/vendor"); v != "ATA" && !strings.HasPrefix(v, "0x") {
		return v
	}
	return ""
}

// serial is the USB device's serial, the serial in sysfs, or the one in the
// disk's vital product data.
func (s *Sys) serial(bus, device, place string) string {
	for up := place; bus == "usb" && up != "." && up != "/"; up = path.Dir(up) {
		if s.exists(up + "/idVendor") {
			if serial := s.text(up + "/serial"); serial != "" {
				return serial
			}
			break
		}
	}
	if serial := s.text(device + "/serial"); serial != "" {
		return serial
	}
	const header = 4 // SPC-4, 7.8.15: Unit Serial Number page
	if page, err := fs.ReadFile(s.Sys, device+"/vpd_pg80"); err == nil && len(page) > header {
		return string(page[header:])
	}
	return ""
}

// printable drops what could confuse a terminal, and joins runs of spaces.
func printable(text string) string {
	clean := strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(clean), " ")
}
