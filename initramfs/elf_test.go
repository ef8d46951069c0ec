package initramfs_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// A section of a file made by makeELF.
type section struct {
	name string
	kind elf.SectionType
	link uint32 // index of the section it refers to, the first one being 1
	data []byte
}

// makeELF makes the smallest 64-bit ELF file that debug/elf reads.
func makeELF(tb testing.TB, kind elf.Type, machine elf.Machine, interp string, sections ...section) []byte {
	tb.Helper()
	names := []byte{0}
	offs := make([]uint32, 0, len(sections)+1)
	sections = append(sections, section{name: ".shstrtab", kind: elf.SHT_STRTAB})
	for _, s := range sections {
		offs = append(offs, uint32(len(names)))
		names = append(append(names, s.name...), 0)
	}
	sections[len(sections)-1].data = names

	const header, prog, sect = 64, 56, 64
	h := elf.Header64{
		Type: uint16(kind), Machine: uint16(machine), Version: 1, Ehsize: header,
		Shentsize: sect, Shnum: uint16(len(sections) + 1), Shstrndx: uint16(len(sections)),
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	at := uint64(header)
	var progs []elf.Prog64
	if interp != "" {
		h.Phoff, h.Phentsize, h.Phnum = header, prog, 1
		at += prog
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: at, Filesz: uint64(len(interp) + 1)})
	}
	var body bytes.Buffer
	if interp != "" {
		body.WriteString(interp + "\x00")
	}
	table := []elf.Section64{{}}
	for i, s := range sections {
		var entsize uint64
		if s.kind == elf.SHT_DYNAMIC {
			entsize = 16
		}
		table = append(table, elf.Section64{Name: offs[i], Type: uint32(s.kind), Off: at + uint64(body.Len()), Size: uint64(len(s.data)), Link: s.link, Addralign: 1, Entsize: entsize})
		body.Write(s.data)
	}
	h.Shoff = at + uint64(body.Len())
	var out bytes.Buffer
	for _, x := range []any{h, progs, body.Bytes(), table} {
		if err := binary.Write(&out, binary.LittleEndian, x); err != nil {
			tb.Fatal(err)
		}
	}
	return out.Bytes()
}

// makeModule makes a kernel module that says what info says.
func makeModule(tb testing.TB, machine elf.Machine, info ...string) []byte {
	tb.Helper()
	return makeELF(tb, elf.ET_REL, machine, "", section{name: ".modinfo", kind: elf.SHT_PROGBITS, data: []byte(strings.Join(info, "\x00") + "\x00")})
}

// makeProgram makes a program or library that needs libraries.
func makeProgram(tb testing.TB, machine elf.Machine, interp string, needed ...string) []byte {
	tb.Helper()
	str := []byte{0}
	var dyn []byte
	for _, n := range needed {
		dyn = binary.LittleEndian.AppendUint64(dyn, uint64(elf.DT_NEEDED))
		dyn = binary.LittleEndian.AppendUint64(dyn, uint64(len(str)))
		str = append(append(str, n...), 0)
	}
	dyn = append(dyn, make([]byte, 16)...)
	return makeELF(tb, elf.ET_DYN, machine, interp,
		section{name: ".dynstr", kind: elf.SHT_STRTAB, data: str},
		section{name: ".dynamic", kind: elf.SHT_DYNAMIC, link: 1, data: dyn})
}
