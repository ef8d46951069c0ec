package identity

import (
	"slices"
	"strings"
)

// DiskName is what the references call the disk that they are on: "/dev/mmcblk0",
// where the root is named by its place. "" = none of them does.
func DiskName(refs []Ref) string {
	name := diskOf(refs)
	if name == "" {
		return ""
	}
	return "/dev/" + name
}

// DiskNames are what the references call the disk of the root, and the other
// disks, in the order in which they are named.
func DiskNames(refs []Ref) (root string, others []string) {
	root = DiskName(refs)
	for _, r := range refs {
		if r.Kind != Device {
			continue
		}
		disk, _ := splitDevice(r.Value)
		if name := "/dev/" + disk; name != root && !slices.Contains(others, name) {
			others = append(others, name)
		}
	}
	return root, others
}

// RootNumbers are the numbers of the parts that the root is said to be, where it
// is named by its place.
func RootNumbers(refs []Ref) []int {
	var nums []int
	for _, r := range refs {
		if namesRoot(r) && r.Kind == Device {
			_, num := splitDevice(r.Value)
			nums = append(nums, num)
		}
	}
	return nums
}

// PartName is the kernel's name of a part of a disk: PartName("/dev/nvme0n1", 2)
// is "/dev/nvme0n1p2". A disk without parts is its part 0.
func PartName(disk string, num int) string {
	if num == 0 {
		return disk
	}
	return partName(disk, num)
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
