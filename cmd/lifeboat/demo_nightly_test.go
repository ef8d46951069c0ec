package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/repo"
	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// onePath is for QEMU, whose NVMe disks say that they have several ways to
// them: the kernel then traces writes under the number of a hidden disk.
const onePath = "nvme_core.multipath=N"

// What a demonstration's card has for a prompt, and where its root begins.
const (
	prompt   = "raspberrypi:~# "
	cardRoot = 132 << 20
)

// TestDemoNightly is the whole story of a Pi that is saved every night: setup
// without a person; systemd's timer starts the run that setup wrote, while a
// program writes, and no service is stopped; the files change; the timer again;
// the card dies. A board with a larger, blank one and the rescue system finds its
// signed job, restores the newest snapshot by HTTP, which must be signed by the Pi,
// and boots: with the changed files.
func TestDemoNightly(t *testing.T) {
	fixture.Root(t)
	fixture.Need(t, "qemu-system-aarch64", "mke2fs", "debugfs", "dnsmasq", "minisign")
	ctx := limit(t, 25*time.Minute)
	w := newWorkshop(t)
	pi, operator := w.keyPair("pi"), w.keyPair("operator")
	board, store, first := w.livePi(t, pi.secret)
	second := w.nights(person{ctx, w, board})
	if err := board.Wait(ctx); err != nil {
		t.Fatal(err)
	}

	served := w.mkdir("served")
	fixture.Run(t, "debugfs", "-R", "rdump /pis "+served, store)
	newest := w.historyOf(filepath.Join(served, "pis"), first, second)
	tftp := filepath.Join(w.dir, "tftp")
	w.run("rescue", "build", "--from", filepath.Join(served, "pis@latest"), "--from", fixture.Debs(t), "--program", w.arm64, "--boards", "virt", "--trust", operator.public, "--netboot", tftp)
	job := filepath.Join(served, "job.toml")
	w.write(job, []byte(`version = 1
id = "dead-card"
action = "restore"
[source]
url = "pis@latest"
signed_by = ["`+strings.Fields(fixture.Run(t, "tail", "-n", "1", pi.public))[0]+`"]
[target]
slot = "nvme"
min_size = "2GB"
`))
	fixture.Run(t, "minisign", "-S", "-m", job, "-s", operator.secret)
	disk := vmtest.Disk{Path: fixture.Sparse(t, "disk.img", 3<<30), Slot: vmtest.NVMe, Serial: "NEWCARD"}
	net := vmtest.NewNetwork(t)
	serveFolder(t, net, served)
	net.ServeDHCP(t, vmtest.DHCP{BootFile: "http://" + vmtest.HostAddr + "/job.toml"})
	rescue := vmtest.Start(t, vmtest.Machine{
		Board: "virt", Kernel: filepath.Join(tftp, "vmlinuz"), Initrd: filepath.Join(tftp, "rescue.cpio.gz"),
		Append: "quiet panic=10", Network: net, Disks: []vmtest.Disk{disk},
	})
	follow(ctx, w, rescue, "job dead-card", newest, "verified", "is done")
	if err := rescue.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	fixture.Check(t, disk.Path)
	again := vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: []vmtest.Disk{disk}})
	login(ctx, w, again, second, 2<<30)
	again.PowerOff()
}

// A keyPair is minisign's: two files.
type keyPair struct{ public, secret string }

func (w *workshop) keyPair(name string) keyPair {
	w.Helper()
	k := keyPair{filepath.Join(w.dir, name+".pub"), filepath.Join(w.dir, name+".key")}
	fixture.Run(w, "minisign", "-G", "-W", "-p", k.public, "-s", k.secret)
	return k
}

// livePi starts a Debian from its card, with a disk STORE beside it. The card
// holds the nonce.
func (w *workshop) livePi(t *testing.T, others ...string) (board *vmtest.Guest, store, nonce string) {
	t.Helper()
	card, nonce := w.liveCard()
	board, store = w.startLive(t, []vmtest.Disk{{Path: card, Slot: vmtest.NVMe, Serial: "CARD"}}, others...)
	return board, store, nonce
}

// liveCard makes the card.
func (w *workshop) liveCard() (card, nonce string) {
	w.Helper()
	card = filepath.Join(w.dir, "card.img")
	nonce = w.card(card, "1500M")
	w.editConf(card, func(text string) string { return strings.ReplaceAll(text, "rootwait", "rootwait "+onePath) })
	return card, nonce
}

// startLive starts it. STORE has the tool, other files, and room for backups.
func (w *workshop) startLive(t *testing.T, disks []vmtest.Disk, others ...string) (board *vmtest.Guest, store string) {
	t.Helper()
	store = fixture.Sparse(t, "store.img", 2<<30)
	files := w.mkdir("store")
	fixture.Run(t, "cp", w.arm64, filepath.Join(files, "lifeboat"))
	for _, path := range others {
		fixture.Run(t, "cp", path, files)
	}
	fixture.Run(t, "mke2fs", "-q", "-t", "ext4", "-L", "STORE", "-d", files, store)
	disks = append(disks, vmtest.Disk{Path: store, Slot: vmtest.NVMe, Serial: "STORE"})
	return vmtest.Start(t, vmtest.Machine{Board: "virt", Disks: disks}), store
}

// A night is a run that the timer started: stopped then, so that there is
// one. A quotation mark keeps a command from being what is waited for.
const (
	night = "until systemctl show -p ActiveState lifeboat-nightly | grep -q =activating; do sleep 1; done; systemctl stop lifeboat-nightly.timer; " +
		"until systemctl show -p ActiveState lifeboat-nightly | grep -qE '=(inactive|failed)'; do sleep 1; done; " +
		"journalctl -u lifeboat-nightly -o cat | grep 'by''tes in use' | tail -1; systemctl --failed --no-legend | grep . || echo no''thing failed"
	writer = "(i=0; while :; do i=$((i+1)); head -c 300000 /dev/urandom >/root/f$((i%40)); echo $i >>/root/log; sleep 0.2; done) &"
)

// nights sets backups up, lets the timer start two, with files that change in
// between, and shuts down. It returns the nonce of the second.
func (w *workshop) nights(p person) (second string) {
	w.Helper()
	second = fmt.Sprintf("%x", random8())
	p.say("raspberrypi login:", "root")
	p.say(prompt, "mount LABEL=STORE /mnt && cp /mnt/lifeboat /usr/local/bin/ && install -m 600 /mnt/pi.key /etc/ && umount /mnt")
	p.say(prompt, writer)
	p.say(prompt, "lifeboat setup --to=LABEL=STORE --folder=pis --when='*:*' --spread=0s --keep=7 --repository-verify-sample=5% --repository-sign-file=/etc/pi.key </dev/null")
	p.sees("Snapshots go into the repository at LABEL=STORE/pis", "Done.")
	p.say(prompt, night)
	p.sees("bytes in use", "nothing failed")
	p.say(prompt, "echo "+second+" >/etc/nonce; systemctl start lifeboat-nightly.timer")
	p.say(prompt, night)
	p.sees("bytes in use", "nothing failed")
	p.say(prompt, "kill %1; lifeboat nightly list; lifeboat nightly check --days=1")
	p.sees("stays  raspberrypi/", "stays  raspberrypi/", "nightly: the newest is of")
	p.say(prompt, "poweroff")
	return second
}

// historyOf holds that both nights are in the repository, whole, the second one
// small, each with its own files. It returns the label of the newest.
func (w *workshop) historyOf(place, first, second string) string {
	w.Helper()
	w.run("repo", "verify", place)
	var all []repo.Snapshot
	if err := json.Unmarshal([]byte(w.run("snapshots", "--json", place)), &all); err != nil {
		w.Fatal(err)
	}
	if len(all) != 2 {
		w.Fatalf("%d snapshots, want two", len(all))
	}
	newest := all[1]
	for nonce, s := range map[string]repo.Snapshot{first: all[0], second: newest} {
		if s.Type != "nightly" {
			w.Errorf("snapshot %s is of the schedule %q", s.Label(), s.Type)
		}
		w.reportf("snapshot %s: %d bytes in use, %d added", s.Label(), s.Used, s.Added)
		out := filepath.Join(w.dir, "night.img")
		w.run("export", "--overwrite", place+"@"+s.ID, out)
		if got := fixture.Run(w, "debugfs", "-R", "cat /etc/nonce", fmt.Sprintf("%s?offset=%d", out, cardRoot)); !strings.Contains(got, nonce) {
			w.Errorf("snapshot %s holds the nonce %q, want %s", s.Label(), got, nonce)
		}
	}
	if newest.Added > all[0].Added/2 {
		w.Errorf("the second night added %d bytes, the first one %d", newest.Added, all[0].Added)
	}
	return newest.Label()
}
