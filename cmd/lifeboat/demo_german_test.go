package main

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestLongGermanMenu restores a card by the menu of a rescue system that is to
// speak German: the kernel's command line says so.
func TestLongGermanMenu(t *testing.T) {
	fixture.Long(t)
	fixture.Need(t, "qemu-system-aarch64", "sfdisk", "mkfs.vfat", "mcopy")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	card, packed := fixture.Card(t, "pi-mbr-fat-ext4"), filepath.Join(w.dir, "card.img.zst")
	w.run("backup", card, packed)
	tftp := filepath.Join(w.dir, "tftp")
	w.run("rescue", "build", "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--netboot", tftp)
	disk := fixture.Sparse(t, "disk.img", 160<<20)
	board := vmtest.Start(t, vmtest.Machine{
		Board: "virt", Kernel: filepath.Join(tftp, "vmlinuz"), Initrd: filepath.Join(tftp, "rescue.cpio.gz"),
		Append: "quiet panic=10 lifeboat.lang=de",
		Disks:  []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}, {Path: w.stick(packed, 256<<20), Slot: vmtest.USB, Serial: "STICK"}},
	})
	p := person{ctx, w, board}
	p.say("Die Eingabetaste öffnet das Menü.", "")
	p.sees("Was soll geschehen?", "Eine Sicherung auf einen Datenträger zurückspielen", "Ausschalten")
	p.say("1–7: ", "1")
	p.sees("Welche Sicherung?", "Zurück")
	p.say(": ", "1")
	p.say("Welcher Datenträger soll überschrieben werden?", "1")
	p.sees("Quelle ", "Ziel ", "Schritte ")
	if err := board.Expect(ctx, "eingeben: "); err != nil {
		t.Fatal(err)
	}
	p.say("", wordIn(t, board.Text()))
	p.sees("Strg-C bricht ab.", "verified")
	p.say("Was soll geschehen?", "7")
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, disk)
}

// wordIn is the word of a German question.
func wordIn(t *testing.T, text string) string {
	t.Helper()
	word := regexp.MustCompile(`Zum Fortfahren (\S+) eingeben`).FindStringSubmatch(text)
	if word == nil {
		t.Fatal("the question names no word")
	}
	return word[1]
}
