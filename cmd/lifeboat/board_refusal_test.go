package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
	"lifeboat/netboot"
)

const jobText = `version = 1
id = "refused"
action = "restore"
[boards]
model = [%q]
[source]
url = "card.img.zst"
sha256 = %q
`

// TestBoardRefusals holds what a board says when it is not told what to do, or
// not in a way that it may obey: a sentence, nothing written, and the menu.
func TestBoardRefusals(t *testing.T) {
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "dnsmasq", "mcopy")
	w := newWorkshop(t)
	tftp := filepath.Join(w.dir, "tftp")
	w.run("rescue", "build", "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--trust", w.public, "--netboot", tftp)
	sum := strings.Repeat("ab", 32)
	any, other := fmt.Sprintf(jobText, "*", sum), fmt.Sprintf(jobText, "Raspberry Pi 4*", sum)
	for name, c := range map[string]struct {
		files func(dir string) // what the server has
		dhcp  bool
		done  bool // the job is recorded on the disk
		says  []string
	}{
		"no DHCP": {func(string) {}, false, false, []string{"DHCP", "Trying again"}},
		"no job":  {func(string) {}, true, false, []string{"no job for this board"}},
		"unsigned": {func(dir string) { w.write(filepath.Join(dir, "job.toml"), []byte(any)) }, true, false,
			[]string{"is not obeyed"}},
		"other board": {func(dir string) { w.job(dir, other) }, true, false, []string{"is for another board"}},
		"done before": {func(dir string) { w.job(dir, any) }, true, true, []string{"is not done again"}},
		"HTML": {func(dir string) {
			w.job(dir, any)
			w.write(filepath.Join(dir, "card.img.zst"), []byte("<!DOCTYPE html><html><body>Please log in</body></html>"))
		}, true, false, []string{"sends a web page", "Trying again"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := limit(t, 5*time.Minute)
			w.TB = t
			dir, disk := t.TempDir(), fixture.Sparse(t, "disk.img", 1<<30)
			c.files(dir)
			if c.done {
				disk = doneCard(t)
			}
			before := w.sum(disk)
			net := vmtest.NewNetwork(t)
			if c.dhcp {
				serveFolder(t, net, dir)
				net.ServeDHCP(t, vmtest.DHCP{BootFile: "http://" + vmtest.HostAddr + "/job.toml"})
			}
			board := vmtest.Start(t, vmtest.Machine{
				Board: "virt", Kernel: filepath.Join(tftp, "vmlinuz"), Initrd: filepath.Join(tftp, "rescue.cpio.gz"),
				Append: "quiet panic=10", Network: net, Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "BLANK"}},
			})
			follow(ctx, w, board, c.says...)
			if err := board.Send("\n"); err != nil {
				t.Fatal(err)
			}
			if err := board.Expect(ctx, "What shall be done?"); err != nil {
				t.Error(err)
			}
			board.PowerOff()
			if w.sum(disk) != before {
				t.Error("the disk was written to")
			}
		})
	}
}

// doneCard is a card that the job has made already.
func doneCard(t *testing.T) string {
	t.Helper()
	record, err := netboot.Record(nil, netboot.Done{ID: "refused", Date: time.Unix(1e9, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	file, card := filepath.Join(t.TempDir(), netboot.RecordFile), fixture.Card(t, "pi-mbr-fat-ext4")
	if err := os.WriteFile(file, record, 0o644); err != nil {
		t.Fatal(err)
	}
	fixture.Run(t, "mcopy", "-i", card+"@@4M", file, "::")
	return card
}

func serveFolder(t *testing.T, net *vmtest.Network, dir string) {
	t.Helper()
	server := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go server.Serve(net.Listen(t, vmtest.HostAddr+":80"))
	t.Cleanup(func() { server.Close() })
}
