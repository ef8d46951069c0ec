package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// cutAt is where the first connection for the image breaks, to be resumed.
const cutAt = 20 << 20

// TestDemoNetwork is the mission: a real card is saved; a board with an empty,
// larger disk and no other medium boots from the network, finds its signed job,
// restores the card from a stream whose connection breaks once, and boots it.
func TestDemoNetwork(t *testing.T) {
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "dnsmasq", "tcpdump", "mkfs.vfat", "mcopy")
	ctx := limit(t, 15*time.Minute)
	w := newWorkshop(t)
	served := w.mkdir("served")
	card, packed := filepath.Join(w.dir, "card.img"), filepath.Join(served, "card.img.zst")
	nonce := w.card(card, "1500M")
	w.reportf("a Debian card: %s, nonce %s", w.size(card), nonce)
	w.run("backup", card, packed)
	w.reportf("saved as %s", w.size(packed))
	tftp := filepath.Join(w.dir, "tftp")
	// Kernel, modules and e2fsprogs come out of the backup; Debian has the rest.
	w.run("rescue", "build", "--from", packed, "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--trust", w.public, "--netboot", tftp)
	w.reportf("a rescue system for the network, out of the backup: %s", w.size(filepath.Join(tftp, "rescue.cpio.gz")))

	disk := fixture.Sparse(t, "disk.img", 3<<30)
	net := vmtest.NewNetwork(t)
	packets := net.Capture(t)
	requests := w.serve(net, served)
	w.job(served, fmt.Sprintf(`version = 1
id = "demo"
action = "restore"
[source]
url = "card.img.zst"
sha256 = %q
[target]
slot = "nvme"
min_size = "2GB"
`, w.sum(packed)))
	net.ServeDHCP(t, vmtest.DHCP{BootFile: "rescue", TFTPRoot: tftp, Options: []string{
		"--dhcp-vendorclass=set:rescue,lifeboat",
		"--dhcp-boot=tag:rescue,http://" + vmtest.HostAddr + "/job.toml",
	}})

	board := vmtest.Start(t, vmtest.Machine{
		Board: "virt", Memory: 1 << 30, Network: net, Reboots: true,
		Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "NEWCARD"}},
	})
	follow(ctx, w, board, "lifeboat ", "has the address", "job demo", "verified", "is done")
	login(ctx, w, board, nonce, 2<<30)
	shutDown(ctx, w, board)
	if got := requests.images.Load(); got < 2 {
		t.Errorf("the image was asked for %d times, want at least twice: the connection broke", got)
	}
	seenInCapture(t, packets, "http://"+vmtest.HostAddr+"/job.toml", "GET /card.img.zst")
	fixture.Check(t, disk)
	w.wrongDigit(ctx, disk)
	w.reportf("done; consoles and packets: %s", t.ArtifactDir())
}

// follow waits for each text on the board's console.
func follow(ctx context.Context, w *workshop, board *vmtest.Guest, texts ...string) {
	w.Helper()
	for _, text := range texts {
		line, err := board.Line(ctx, text)
		if err != nil {
			w.Fatal(err)
		}
		w.reportf("console: %s", strings.TrimSpace(line))
	}
}

// login waits for the restored system's prompt, and holds nonce and size of the
// root that it tells.
func login(ctx context.Context, w *workshop, board *vmtest.Guest, nonce string, least int64) {
	w.Helper()
	line, err := board.Line(ctx, "NONCE "+nonce)
	if err != nil {
		w.Fatal(err)
	}
	var said string
	var size int64
	if _, err := fmt.Sscanf(line[strings.Index(line, "NONCE"):], "NONCE %s ROOTSIZE %d", &said, &size); err != nil || size < least {
		w.Errorf("the root has %d bytes, want at least %d (%v): %s", size, least, err, line)
	}
	w.reportf("console: %s", strings.TrimSpace(line))
	if err := board.Expect(ctx, "raspberrypi login:"); err != nil {
		w.Fatal(err)
	}
	w.reportf("the restored card is at its login prompt")
}

// shutDown ends the restored system as a person would.
func shutDown(ctx context.Context, w *workshop, board *vmtest.Guest) {
	w.Helper()
	for _, step := range [][2]string{{"", "root"}, {"raspberrypi:~# ", "poweroff"}} {
		if err := board.Expect(ctx, step[0]); err != nil {
			w.Fatal(err)
		}
		if err := board.Send(step[1] + "\n"); err != nil {
			w.Fatal(err)
		}
	}
	if err := board.Wait(ctx); err != nil {
		w.Fatal(err)
	}
}

// requests counts what boards asked the server for.
type requests struct {
	images atomic.Int64
	mu     sync.Mutex
	paths  []string
}

// serve serves a folder within the network; the first connection for the image
// breaks in the middle.
func (w *workshop) serve(net *vmtest.Network, dir string) *requests {
	w.Helper()
	seen := &requests{}
	files := http.FileServer(http.Dir(dir))
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		seen.mu.Lock()
		seen.paths = append(seen.paths, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
		seen.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, ".zst") && r.Method == http.MethodGet && seen.images.Add(1) == 1 {
			out = &cutting{ResponseWriter: out}
		}
		files.ServeHTTP(out, r)
	})}
	listener := net.Listen(w, vmtest.HostAddr+":80")
	go server.Serve(listener)
	w.Cleanup(func() { server.Close() })
	return seen
}

// cutting breaks the connection behind cutAt bytes.
type cutting struct {
	http.ResponseWriter
	n int
}

func (c *cutting) Write(b []byte) (int, error) {
	if c.n += len(b); c.n > cutAt {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

// seenInCapture holds that the packets of the network hold the texts.
func seenInCapture(t *testing.T, path string, texts ...string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(b), text) {
			t.Errorf("no packet in %s holds %q", path, text)
		}
	}
}

// editConf edits what U-Boot reads of a card.
func (w *workshop) editConf(card string, edit func(text string) string) {
	w.Helper()
	conf, image := filepath.Join(w.dir, "extlinux.conf"), card+"@@4M"
	fixture.Run(w, "mcopy", "-o", "-i", image, "::extlinux/extlinux.conf", conf)
	text, err := os.ReadFile(conf)
	if err != nil {
		w.Fatal(err)
	}
	w.write(conf, []byte(edit(string(text))))
	fixture.Run(w, "mcopy", "-o", "-i", image, conf, "::extlinux/extlinux.conf")
}

// wrongDigit holds that one wrong digit in a PARTUUID is found by inspect, and
// is what keeps the card from booting.
func (w *workshop) wrongDigit(ctx context.Context, disk string) {
	w.Helper()
	id := strings.Fields(w.run("inspect", disk)[strings.Index(w.run("inspect", disk), "disk ID "):])[2]
	wrong := "0" + id[1:]
	if id[0] == '0' {
		wrong = "1" + id[1:]
	}
	w.editConf(disk, func(text string) string { return strings.ReplaceAll(text, id, wrong) })
	if out, code := w.try("inspect", disk); code != exitReserved || !strings.Contains(out, wrong) {
		w.Errorf("inspect of a card with a wrong PARTUUID: exit code %d\n%s", code, out)
	}
	board := vmtest.Start(w, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{{Path: disk, Slot: vmtest.NVMe, Serial: "WRONG"}}})
	if err := board.Expect(ctx, "Waiting for root device PARTUUID="+wrong); err != nil {
		w.Error(err)
	}
	board.PowerOff()
	w.reportf("one wrong digit: inspect tells, and the card does not boot")
}
