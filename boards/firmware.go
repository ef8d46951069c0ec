package boards

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"lifeboat/internal/speech"
)

// FirmwareOptions are what the firmware knows beside the files. The zero value
// is a plain power-on from the first FAT part.
type FirmwareOptions struct {
	Tryboot bool   // the one-shot flag of "reboot 0 tryboot" is set
	Part    int    // number of the part; 0 or 1 = the first, where autoboot.txt counts
	Serial  string // of the board, in hex, for sections like [0x12345678]
}

// A Chain is what gets loaded. Names are those of the files in the boot part.
type Chain struct {
	Config     string   // the file that decided
	Firmware   []string // in the order of loading
	Kernel     string
	Bits       int      // of the mode that the kernel is started in; 0 = the boot loader asks the kernel
	Initramfs  []string // one behind the other in memory
	DeviceTree string   // "" = none; one with '/' at its end is a folder that the boot loader chooses from
	Cmdline    string   // the file
	Args       string   // what the kernel is told
	Trace      []string // sentences: why each was chosen, and what was odd
}

// ElsewhereError means that autoboot.txt sends the firmware to another part.
// Ask again with that part's files.
type ElsewhereError struct{ Part int }

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("autoboot.txt sends the firmware to part %d", e.Part)
}

// A BootError means that the files are not those that a board needs. Words name
// everything that is missing or cannot work.
type BootError struct{ Words speech.Text }

func (e *BootError) Error() string { return e.Words.String() }

// A loader follows the firmware's steps.
type loader struct {
	// config
	boot part
	b    Board
	o    FirmwareOptions

	// state
	cfg      *config
	prefix   string
	chain    Chain
	problems []speech.Text
}

// Firmware tells what the Raspberry Pi's firmware would load from a boot part
// on the board b. An error names everything that is missing or cannot work; the
// chain beside it holds what was found until then. Where autoboot.txt names
// another part the error is an *ElsewhereError.
func Firmware(boot fs.FS, b Board, o FirmwareOptions) (*Chain, error) {
	if b.Pi == nil {
		return nil, fmt.Errorf("%s: the rules of the Raspberry Pi's firmware need to know the model", b.Title)
	}
	l := &loader{boot: part{boot}, b: b, o: o}
	if err := l.config(); err != nil {
		return &l.chain, err
	}
	l.firmware()
	l.choosePrefix()
	l.kernel()
	l.tree()
	l.initramfs()
	l.cmdline()
	l.chain.Trace = append(l.chain.Trace, l.cfg.notes...)
	if len(l.problems) > 0 {
		return &l.chain, &BootError{speech.New("a %s would not boot: %s", b.Title, speech.Join(l.problems, "; "))}
	}
	return &l.chain, nil
}

func (l *loader) trace(format string, args ...any) {
	l.chain.Trace = append(l.chain.Trace, fmt.Sprintf(format, args...))
}

func (l *loader) problem(t speech.Text) { l.problems = append(l.problems, t) }

// need finds a file that must be there.
func (l *loader) need(name string) (string, bool) {
	at, ok := l.boot.find(name)
	if !ok {
		l.problem(speech.New("it needs %s, which is not there", name))
	}
	return at, ok
}

// config finds the file that decides, and reads it.
func (l *loader) config() error {
	name := "config.txt"
	ab, err := l.autoboot()
	if err != nil {
		return err
	}
	if l.o.Tryboot && !ab {
		name = "tryboot.txt"
		l.trace("the try-once flag is set: %s is read in place of config.txt", name)
	}
	l.chain.Config = name
	l.cfg, err = readConfig(l.boot, name, l.b, l.o)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "config.txt" && l.b.Pi.Start != "":
		l.trace("there is no config.txt: all is as by default")
		l.chain.Config = ""
		l.cfg = &config{}
	case err != nil:
		return fmt.Errorf("a %s would not boot: %w", l.b.Title, err)
	}
	if l.cfg.on("boot_ramdisk") {
		return fmt.Errorf("%s says boot_ramdisk=1: all files come out of boot.img, which is not looked into", name)
	}
	return nil
}

// autoboot reads autoboot.txt, which counts in the first part only. It tells
// whether trying once goes by the part and not by the file: of another part
// that is known only by the tryboot.txt that it lacks.
func (l *loader) autoboot() (ab bool, err error) {
	text, err := l.boot.text("autoboot.txt")
	if l.o.Part > 1 || errors.Is(err, fs.ErrNotExist) {
		return l.o.Part > 1 && l.o.Tryboot && !l.boot.has("tryboot.txt"), nil
	}
	if err != nil {
		return false, err
	}
	c := &config{
		values: map[string]string{}, first: map[string]string{}, lists: map[string][]string{},
		boot: l.boot, filter: filter{b: l.b, o: l.o, kinds: map[string]bool{}},
	}
	if len(text) > maxAutoboot {
		l.trace("autoboot.txt is cut at %d bytes", maxAutoboot)
		text = text[:maxAutoboot]
	}
	c.read("autoboot.txt", text, 0)
	if n, ok := c.number("boot_partition"); ok && n > 0 && int(n) != max(l.o.Part, 1) {
		l.trace("autoboot.txt says boot_partition=%d", n)
		return false, &ElsewhereError{Part: int(n)}
	}
	return c.on("tryboot_a_b"), nil
}

// firmware finds the files that run before the kernel.
func (l *loader) firmware() {
	p := l.b.Pi
	if p.Start == "" {
		l.trace("the firmware of a %s is in its EEPROM", l.b.Title)
		return
	}
	start, fixup := l.startFiles()
	for _, name := range append(append([]string{}, p.Stage...), start, fixup) {
		if at, ok := l.need(name); ok {
			l.chain.Firmware = append(l.chain.Firmware, at)
		}
	}
}

// startFiles are the two halves of the firmware. What chooses among them is
// read by the stage before, which knows no include.
func (l *loader) startFiles() (start, fixup string) {
	start, fixup = l.b.Pi.Start, l.b.Pi.Fixup
	four := strings.HasPrefix(start, "start4")
	variant := func(old, new string) {
		if four {
			new = strings.TrimPrefix(new, "_")
		}
		start = strings.TrimSuffix(start, ".elf") + new + ".elf"
		fixup = strings.TrimSuffix(fixup, ".dat") + new + ".dat"
		l.trace("%s: the firmware is %s", old, start)
	}
	first := &config{values: l.cfg.first}
	switch n, ok := first.number("gpu_mem"); {
	case first.values["start_file"] != "":
		start = first.values["start_file"]
		if f := first.values["fixup_file"]; f != "" {
			fixup = f
		}
		l.trace("start_file: the firmware is %s", start)
	case ok && n == 16:
		variant("gpu_mem=16", "_cd")
	case first.on("start_x"):
		variant("start_x=1", "_x")
	case first.on("start_debug"):
		variant("start_debug=1", "_db")
	}
	return start, fixup
}
