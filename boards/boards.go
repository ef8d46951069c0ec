// Package boards answers: what differs between boards? One JSON file a board
// says by which names it is known, what its firmware or ROM looks for and
// where, and which kernels can drive it; the rules of the Raspberry Pi's
// firmware and of U-Boot's extlinux reader, which prove that a boot part would
// boot, stand here as code.
//
// It is words and data: it reads file systems handed to it, and writes nothing.
package boards

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed data/*.json
var data embed.FS

// A Method is how a board comes from power-on to a kernel.
type Method string

const (
	RPiFirmware Method = "rpi-firmware" // config.txt on a FAT part
	UBoot       Method = "u-boot"       // a boot loader in a raw area; it reads extlinux.conf or a script
	UEFI        Method = "uefi"         // EFI/BOOT/BOOT*.EFI on a FAT part
)

// A Board is one board, or where Generic is set a kind of boards whose model is
// not known. All offsets and lengths are bytes.
type Board struct {
	Name       string    `json:"name"`                 // the file's name, stable: it stands in heads and jobs
	Title      string    `json:"title"`                // for people
	SoC        string    `json:"soc,omitempty"`        // family, as the device tree spells it
	Generic    bool      `json:"generic,omitempty"`    // stands for boards whose model is not known
	Compatible []string  `json:"compatible,omitempty"` // strings of the device tree's root that mean this board
	Models     []string  `json:"models,omitempty"`     // beginnings of the device tree's model
	Boot       Method    `json:"boot"`
	Bits       []int     `json:"bits"`               // widths of the kernels that its CPU runs: 32, 64
	ISA        string    `json:"isa,omitempty"`      // the only one that it runs, as in a module's vermagic; "" = all of its width
	Trees      []string  `json:"trees,omitempty"`    // device tree files as U-Boot and Debian name them, with the vendor's folder on 64 bit
	Consoles   []string  `json:"consoles"`           // serial consoles as console= names them, likeliest last
	Needs      []Need    `json:"needs,omitempty"`    // drivers without which a kernel is of no use here
	Watchdog   *Watchdog `json:"watchdog,omitempty"` // of the SoC
	Netboot    *Netboot  `json:"netboot,omitempty"`  // nil: its ROM boots from no network
	Areas      []Area    `json:"areas,omitempty"`    // what it keeps outside of parts
	Pi         *Pi       `json:"pi,omitempty"`       // what the Raspberry Pi's firmware wants; nil for generic ones
	Sources    []string  `json:"sources"`
}

// A Need is met by any of the drivers, as module or built in.
type Need struct {
	What string   `json:"what"`
	Any  []string `json:"any"` // names of modules, with '_'
}

// A Watchdog is the SoC's.
type Watchdog struct {
	Driver     string `json:"driver"`      // module
	MaxSeconds int    `json:"max_seconds"` // longest time it can wait; 0 = follows a clock
	Source     string `json:"source"`
}

// A Netboot says how the board's first stage boots from the network.
type Netboot struct {
	Prefix   string   `json:"prefix"`             // "serial": a folder of that name is tried first; "none"
	Probe    []string `json:"probe,omitempty"`    // with none of these below the prefix, the prefix is dropped
	Option43 string   `json:"option43,omitempty"` // text that the DHCP server must answer with
	Script   string   `json:"script,omitempty"`   // what a boot loader asks for by TFTP
	Source   string   `json:"source"`
}

// An Area is a place outside of all parts that the board boots from.
type Area struct {
	Off    int64  `json:"off"`
	Len    int64  `json:"len"` // the room that it may take
	What   string `json:"what"`
	File   string `json:"file,omitempty"` // where Debian's package installs what belongs here
	Source string `json:"source"`
}

// Pi is what the Raspberry Pi's firmware knows of one model.
type Pi struct {
	Filters    []string `json:"filters"`             // sections of config.txt that apply: "pi4"
	Types      []int    `json:"types"`               // model's number in the revision code, for [board-type=]
	Stage      []string `json:"stage,omitempty"`     // files that the ROM wants before the firmware
	Start      string   `json:"start,omitempty"`     // the firmware; "" = it is in an EEPROM
	Fixup      string   `json:"fixup,omitempty"`     // the firmware's other half
	Downstream []string `json:"downstream"`          // device trees of Raspberry Pi's kernels, in the order of search
	Upstream   []string `json:"upstream"`            // device trees of kernel.org's
	Kernels32  []string `json:"kernels32,omitempty"` // in the order of search, without a kernel= line
	Kernels64  []string `json:"kernels64,omitempty"`
	Default64  bool     `json:"default64,omitempty"` // arm_64bit is 1 unless config.txt says otherwise
}

// All lists the boards by name. An error means that a file of this package is
// wrong, and names it.
func All() ([]Board, error) {
	entries, err := fs.ReadDir(data, "data")
	if err != nil {
		return nil, fmt.Errorf("list the boards: %w", err)
	}
	list := make([]Board, 0, len(entries))
	for _, e := range entries {
		text, err := fs.ReadFile(data, path.Join("data", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("board file %s: %w", e.Name(), err)
		}
		b, err := Parse(text)
		if err == nil && b.Name+".json" != e.Name() {
			err = fmt.Errorf("the name in it is %q", b.Name)
		}
		if err != nil {
			return nil, fmt.Errorf("board file %s: %w", e.Name(), err)
		}
		list = append(list, b)
	}
	return list, nil
}

// Parse reads one board file, and checks it. Unknown fields are an error: they
// are misspelt ones.
func Parse(text []byte) (Board, error) {
	var b Board
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return Board{}, err
	}
	if d.More() {
		return Board{}, fmt.Errorf("there is something behind the board")
	}
	return b, b.check()
}

// Find finds a board by its name.
func Find(name string) (Board, bool) {
	list, err := All()
	if err != nil {
		return Board{}, false
	}
	i := slices.IndexFunc(list, func(b Board) bool { return b.Name == name })
	if i < 0 {
		return Board{}, false
	}
	return list[i], true
}

// Identify finds the board by what its device tree says of itself. The model
// goes before the strings of "compatible", which are to be given most telling
// first: the Raspberry Pi's firmware corrects only the model where it had to
// take a neighbour's device tree.
func Identify(model string, compatible []string) (Board, bool) {
	list, err := All()
	if err != nil {
		return Board{}, false
	}
	byModel := longest(list, model)
	if byModel >= 0 && !list[byModel].Generic {
		return list[byModel], true
	}
	for _, c := range compatible {
		for _, b := range list {
			if slices.Contains(b.Compatible, c) {
				return b, true
			}
		}
	}
	if byModel < 0 {
		return Board{}, false
	}
	return list[byModel], true
}

// longest finds the board with the longest beginning of model; -1 = none.
func longest(list []Board, model string) int {
	best, n := -1, 0
	for i, b := range list {
		for _, m := range b.Models {
			if len(m) > n && strings.HasPrefix(model, m) {
				best, n = i, len(m)
			}
		}
	}
	return best
}

// Runs tells whether the board's CPU runs kernels of that width.
func (b Board) Runs(bits int) bool { return slices.Contains(b.Bits, bits) }

// DeviceTrees are the names of the device trees that fit the board, without
// folders. Which of a Pi's the firmware takes, Firmware tells.
func (b Board) DeviceTrees() []string {
	var names []string
	for _, t := range b.Trees {
		names = append(names, path.Base(t))
	}
	if b.Pi != nil {
		names = append(append(names, b.Pi.Downstream...), b.Pi.Upstream...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
