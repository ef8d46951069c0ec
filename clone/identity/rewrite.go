package identity

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Rewrite replaces the references that changes names, and says how many these
// were. A key is
//
//	a UUID or PARTUUID        for UUID=…, PARTUUID=…, /dev/disk/by-uuid/… and by-partuuid
//	LABEL=… or PARTLABEL=…    for these, and /dev/disk/by-label/… and by-partlabel
//	/dev/…                    for that name of a part
//
// and its value has the same form. Only whole tokens are replaced; the case of
// hex digits counts in no key, and stays as it was in the text.
func Rewrite(data []byte, changes map[string]string) ([]byte, int) {
	text := string(data)
	folded := make(map[string]string, len(changes))
	for from, to := range changes {
		folded[fold(from)] = to
	}
	var out bytes.Buffer
	done, pos := 0, 0
	for _, t := range scan(text) {
		to, ok := replacement(t, folded)
		if !ok || to == t.value {
			continue
		}
		out.WriteString(text[pos:t.start])
		out.WriteString(to)
		pos = t.end
		done++
	}
	out.WriteString(text[pos:])
	return out.Bytes(), done
}

// fold makes keys comparable: those that are hex have no case.
func fold(key string) string {
	if strings.ContainsAny(key, "=/") {
		return key
	}
	return strings.ToLower(key)
}

func replacement(t token, folded map[string]string) (string, bool) {
	switch t.kind {
	case Label, PartLabel:
		prefix := string(t.kind) + "="
		to, ok := folded[prefix+plain(t.value)]
		return strings.TrimPrefix(to, prefix), ok && strings.HasPrefix(to, prefix)
	case Device:
		to, ok := folded[t.value]
		return to, ok
	}
	to, ok := folded[strings.ToLower(t.value)]
	if ok && len(to) == len(t.value) {
		to = inCase(to, t.value)
	}
	return to, ok
}

// inCase gives to the case of like, where that has only one.
func inCase(to, like string) string {
	upper, lower := strings.ToUpper(like), strings.ToLower(like)
	switch {
	case upper == lower: // digits alone
		return to
	case like == upper:
		return strings.ToUpper(to)
	case like == lower:
		return strings.ToLower(to)
	}
	return to
}

// Devices are the changes for a disk that gets another name: of each part of
// from ("/dev/mmcblk0") to the same of to ("/dev/sda", "/dev/nvme0n1").
func Devices(from, to string) map[string]string {
	changes := map[string]string{}
	for num := 1; num <= maxNum; num++ {
		changes[partName(from, num)] = partName(to, num)
	}
	return changes
}

// maxNum is the highest number of a part that Devices knows.
const maxNum = 128

// partName is the kernel's name of a part: a p stands between two numbers.
func partName(disk string, num int) string {
	if last := disk[len(disk)-1:]; last >= "0" && last <= "9" {
		disk += "p"
	}
	return disk + strconv.Itoa(num)
}

// Apply rewrites each file that References knows, and says which it has
// changed. Either tree may be nil. After an error, files before the one that
// it names are changed; Apply can be run again.
func Apply(changes map[string]string, boot, root Files) ([]string, error) {
	files, err := find(boot, root)
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, f := range files {
		data, n := Rewrite(f.data, changes)
		if n == 0 {
			continue
		}
		if err := f.tree.(Files).WriteFile(f.name, data); err != nil {
			return changed, fmt.Errorf("%s part: rewrite %d references in %s: %w", f.where, n, f.name, err)
		}
		changed = append(changed, f.where+" part: "+f.name)
	}
	return changed, nil
}
