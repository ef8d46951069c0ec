package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// The partition table lies in these bytes of sector 0: disk ID, two bytes,
// four entries, signature (UEFI 2.10, table 5.1). The code before it may be a
// board's.
const tableOff, tableEnd = 440, 512

// check tells what is wrong with a board file.
func (b Board) check() error {
	switch {
	case b.Name == "" || !fs.ValidPath(b.Name):
		return fmt.Errorf("its name %q is none", b.Name)
	case b.Title == "":
		return errors.New("it has no title")
	case !slices.Contains([]Method{RPiFirmware, UBoot, UEFI}, b.Boot):
		return fmt.Errorf("its boot method %q is not known", b.Boot)
	case len(b.Compatible)+len(b.Models) == 0:
		return errors.New("nothing identifies it")
	case len(b.Sources) == 0:
		return errors.New("it names no sources")
	case len(b.Bits) == 0:
		return errors.New("it runs no kernels")
	}
	for _, n := range b.Bits {
		if n != 32 && n != 64 {
			return fmt.Errorf("a kernel of %d bits is none", n)
		}
	}
	if b.Watchdog != nil && b.Watchdog.Source == "" || b.Netboot != nil && b.Netboot.Source == "" {
		return errors.New("its watchdog or network boot has no source")
	}
	return errors.Join(b.checkAreas(), b.checkPi())
}

func (b Board) checkAreas() error {
	end := int64(0)
	for _, a := range b.Areas {
		switch {
		case a.Len <= 0 || a.Off < 0 || a.Off+a.Len < a.Off:
			return fmt.Errorf("area %q is empty or negative", a.What)
		case a.Off < end:
			return fmt.Errorf("area %q overlaps the one before it, or is not in order", a.What)
		case a.Off < tableEnd && a.Off+a.Len > tableOff:
			return fmt.Errorf("area %q overlaps the partition table", a.What)
		case a.Source == "" || a.What == "":
			return fmt.Errorf("area at %d has no source, or does not say what it is", a.Off)
		}
		end = a.Off + a.Len
	}
	return nil
}

func (b Board) checkPi() error {
	p := b.Pi
	switch {
	case p == nil && b.Boot == RPiFirmware && !b.Generic:
		return errors.New("it does not say what the firmware wants")
	case p == nil:
		return nil
	case (p.Start == "") != (p.Fixup == ""):
		return errors.New("start and fixup files are a pair")
	case len(p.Downstream) == 0 || len(p.Upstream) == 0:
		return errors.New("it names no device trees")
	case b.Runs(32) != (len(p.Kernels32) > 0) || b.Runs(64) != (len(p.Kernels64) > 0):
		return errors.New("its kernels are not of the widths it runs")
	case len(p.Filters) == 0 || len(p.Types) == 0:
		return errors.New("no section of config.txt is for it")
	}
	return nil
}
