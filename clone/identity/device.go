package identity

import "strings"

// DiskName is what the references call the disk that they are on: "/dev/mmcblk0",
// where the root is named by its place. "" = none of them does.
func DiskName(refs []Ref) string {
	name := diskOf(refs)
	if name == "" {
		return ""
	}
	return "/dev/" + name
}

// CanBe tells whether the kernel may give a disk in that slot the name that
// device ("/dev/mmcblk0p2") begins with. Slots are the words of a job: sd, emmc,
// usb, nvme, sata, virtio; in one that is not known anything can be.
func CanBe(slot, device string) bool {
	var prefix string
	switch slot {
	case "sd", "emmc":
		prefix = "mmcblk"
	case "usb", "sata":
		prefix = "sd"
	case "nvme":
		prefix = "nvme"
	case "virtio":
		prefix = "vd"
	}
	return strings.HasPrefix(strings.TrimPrefix(device, "/dev/"), prefix)
}

// ValidDisk tells whether name is one that Devices can translate to.
func ValidDisk(name string) bool {
	tokens := scan(partNameOf(name))
	return len(tokens) == 1 && tokens[0].kind == Device && tokens[0].value == partNameOf(name)
}

func partNameOf(disk string) string {
	if disk == "" {
		return ""
	}
	return partName(disk, 1)
}
