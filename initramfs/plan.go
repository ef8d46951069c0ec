package initramfs

import (
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"lifeboat/boards"
)

// A Support says whether the sources can make a medium that boots a board.
type Support struct {
	Board  boards.Board
	OK     bool
	Kernel string // its version
	Why    string // a sentence for people: what is missing, and where to get it

	kernel   *kernel
	trees    []found
	firmware []found
}

// Plan tells for each board whether the sources can make a medium that boots
// it. It takes as few kernels as will do: all the boards that one section of
// config.txt means get the same one. Boards whose model is not known are left
// out.
func Plan(ctx context.Context, sources []Source, list []boards.Board, machine elf.Machine) ([]Support, error) {
	kernels, notes, err := findKernels(ctx, sources)
	if err != nil {
		return nil, err
	}
	p := &planner{kernels: kernels, notes: notes, machine: machine}
	for _, b := range list {
		if !b.Generic {
			p.list = append(p.list, Support{Board: b})
		}
	}
	for i := range p.list {
		p.files(&p.list[i], sources)
	}
	p.choose()
	return p.list, nil
}

type planner struct {
	// config
	kernels []*kernel
	notes   []string
	machine elf.Machine

	// state
	list []Support
}

// files finds what must come before the kernel. The parts of one firmware must
// be of one age: all come out of one folder.
func (p *planner) files(s *Support, sources []Source) {
	b := s.Board
	if b.Boot != boards.RPiFirmware {
		return
	}
	var names []string
	if b.Pi.Start != "" {
		names = append(slices.Clone(b.Pi.Stage), b.Pi.Start, b.Pi.Fixup)
	}
	for _, src := range sources {
		for _, place := range []struct {
			fsys fs.FS
			dir  string
		}{{src.Boot, "."}, {src.Root, "usr/lib/raspi-firmware"}, {src.Root, "boot/firmware"}, {src.Root, "boot"}} {
			if list, ok := allOf(place.fsys, place.dir, names); ok {
				s.firmware = list
				return
			}
		}
	}
	s.Why = fmt.Sprintf("it needs %s, from the package raspi-firmware, a running system of a Raspberry Pi or a backup of one", strings.Join(names, ", "))
}

func allOf(fsys fs.FS, dir string, names []string) ([]found, bool) {
	if fsys == nil {
		return nil, len(names) == 0
	}
	var list []found
	for _, name := range names {
		at := path.Join(dir, name)
		if fi, err := fs.Stat(Merge(fsys), at); err != nil || fi.IsDir() {
			return nil, false
		}
		list = append(list, found{Merge(fsys), at, name})
	}
	return list, true
}

// group is the key of the boards that have to share a kernel.
func group(b boards.Board) string {
	if b.Pi != nil {
		return b.Pi.Filters[0]
	}
	return b.Name
}

// choose gives the boards their kernels, the one that serves most boards first.
func (p *planner) choose() {
	open := map[string]bool{}
	for _, s := range p.list {
		if s.Why == "" {
			open[group(s.Board)] = true
		}
	}
	for len(open) > 0 {
		best, served := p.best(open)
		if best == nil {
			break
		}
		for _, i := range served {
			s := &p.list[i]
			s.OK, s.Kernel, s.kernel, s.trees = true, best.version, best, best.trees(s.Board)
			delete(open, group(s.Board))
		}
	}
	for i := range p.list {
		if s := &p.list[i]; !s.OK && s.Why == "" {
			s.Why = p.why(s.Board)
		}
	}
}

// best finds the kernel that serves most boards of the groups, and which.
func (p *planner) best(open map[string]bool) (best *kernel, served []int) {
	for _, k := range p.kernels {
		var list []int
		for i, s := range p.list {
			if open[group(s.Board)] && s.Why == "" && p.serves(k, s.Board) {
				list = append(list, i)
			}
		}
		if len(list) > len(served) {
			best, served = k, list
		}
	}
	return best, served
}

func (p *planner) serves(k *kernel, b boards.Board) bool {
	wantTrees := len(b.Trees) > 0 || b.Pi != nil
	return k.fits(p.machine) && k.runsOn(b) && len(k.lacks(b)) == 0 && (!wantTrees || len(k.trees(b)) > 0)
}

// why tells what keeps a board from having a kernel.
func (p *planner) why(b boards.Board) string {
	bits := 64
	if p.machine == elf.EM_ARM {
		bits = 32
	}
	if !b.Runs(bits) {
		return fmt.Sprintf("it runs no %d-bit kernels; build the medium with the program for %d bit", bits, 32+64-bits)
	}
	var own []string
	for _, k := range p.kernels {
		switch lacks := k.lacks(b); {
		case !k.fits(p.machine):
			own = append(own, fmt.Sprintf("%s is for %d bit", k.version, k.bits))
		case !k.runsOn(b):
			own = append(own, fmt.Sprintf("%s is not for its CPU", k.version))
		case len(lacks) > 0:
			own = append(own, fmt.Sprintf("%s has no driver for %s", k.version, strings.Join(lacks, " and ")))
		default:
			own = append(own, fmt.Sprintf("%s comes without a device tree for it", k.version))
		}
	}
	own = append(own, p.notes...)
	if len(own) == 0 {
		own = []string{"there is none in the sources"}
	}
	return fmt.Sprintf("it needs a kernel of its own%s, from its own running system or a backup of one: %s", wanted(b), strings.Join(own, "; "))
}

// wanted names the files that a board's own system would have.
func wanted(b boards.Board) string {
	switch {
	case b.Pi != nil && b.Pi.Start == "":
		return fmt.Sprintf(", %s and %s-*.dtb", b.Pi.Kernels64[0], b.SoC)
	case len(b.Trees) > 0:
		return " and " + path.Base(b.Trees[0])
	}
	return ""
}
