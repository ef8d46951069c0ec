package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/initramfs/uinit"
	"lifeboat/internal/speech"
)

// A desk is where one person sits: a session, and how questions are put there.
type desk struct {
	*rescuer
	session *uinit.Session
	ask     asker
	agreed  func() // called when nothing more is asked: keys mean only ctrl-C now
}

// A choice is one line of the menu.
type choice struct {
	title speech.Text
	do    func(d *desk, ctx context.Context) error
}

func choices() []choice {
	return []choice{
		{speech.New("Restore a backup to a disk"), (*desk).restore},
		{speech.New("Clone a disk to another"), (*desk).clone},
		{speech.New("Save a disk to a backup"), (*desk).save},
		{speech.New("Check a disk or a backup"), (*desk).check},
		{speech.New("Shell"), (*desk).shell},
		{speech.New("Reboot"), func(*desk, context.Context) error { return exitError{uinit.ExitReboot} }},
		{speech.New("Power off"), func(*desk, context.Context) error { return exitError{uinit.ExitPoweroff} }},
	}
}

// errBack leads back to the menu.
var errBack = errors.New("back to the menu")

// menu serves one person until the machine is to go down, or nobody answers.
func (r *rescuer) menu(ctx context.Context, s *uinit.Session) error {
	d := &desk{rescuer: r, session: s, ask: newAsker(r.env.language, s)}
	watching, stop := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { d.watch(watching) })
	defer watcher.Wait()
	defer stop()
	list := choices()
	var titles []string
	for _, c := range list {
		titles = append(titles, c.title.In(r.env.language))
	}
	for {
		i, err := d.choose(ctx, d.t("What shall be done?"), titles)
		if err != nil {
			return err
		}
		err = list[i].do(d, ctx)
		var exit exitError
		switch {
		case errors.As(err, &exit), errors.Is(err, errNobody), ctx.Err() != nil:
			return err
		case err != nil && !errors.Is(err, errBack):
			d.tell(err)
		}
		if err := r.media.close(); err != nil {
			r.sayf("lifeboat: %v", err)
		}
	}
}

// tell tells an error with its hint, as the command line would.
func (d *desk) tell(err error) {
	d.sayf("lifeboat: %v", err)
	if hint := hintOf(err); hint != "" {
		d.sayf("  %s", hint)
	}
	d.sayf("  (exit code %d)", exitCode(err))
}

// choose asks while nobody else writes to the screen.
func (d *desk) choose(ctx context.Context, title string, items []string) (int, error) {
	if d.session.Terminal {
		d.drawing.Lock()
		defer d.drawing.Unlock()
	}
	return d.ask.choose(ctx, title, items)
}

func newAsker(l speech.Language, s *uinit.Session) asker {
	if !s.Terminal {
		return lineAsker{l, s, s.ReadLine}
	}
	return promptAsker{func(ctx context.Context) (io.ReadWriter, func() error, error) {
		back, err := s.Raw()
		return s.With(ctx), back, err
	}}
}

func (d *desk) restore(ctx context.Context) error {
	from, err := d.pickImage(ctx)
	if err != nil {
		return err
	}
	to, err := d.pickDisk(ctx, d.t("Which disk is to be overwritten?"), true)
	if err != nil {
		return err
	}
	o := restoreOptions{from: from, to: to, ids: string(clone.KeepIDs), board: thisBoard(d.board), consent: d.consent}
	return d.run(ctx, func(ctx context.Context, e *env) error { return runRestore(ctx, e, o) })
}

func (d *desk) clone(ctx context.Context) error {
	from, err := d.pickDisk(ctx, d.t("Which disk is to be copied?"), false)
	if err != nil {
		return err
	}
	to, err := d.pickDisk(ctx, d.t("Which disk is to be overwritten?"), true)
	if err != nil {
		return err
	}
	ids, err := d.choose(ctx, d.t("Shall the copy have an identity of its own?"), []string{
		d.t("Yes: both disks will be plugged in at once"),
		d.t("No: it replaces the first one"),
	})
	if err != nil {
		return err
	}
	o := restoreOptions{from: from, to: to, ids: string([]clone.IDs{clone.NewIDs, clone.KeepIDs}[ids]), board: thisBoard(d.board), consent: d.consent}
	return d.run(ctx, func(ctx context.Context, e *env) error { return runClone(ctx, e, o, liveOptions{}) })
}

func (d *desk) save(ctx context.Context) error {
	from, err := d.pickDisk(ctx, d.t("Which disk is to be saved?"), false)
	if err != nil {
		return err
	}
	dir, err := d.pickFolder(ctx, from)
	if err != nil {
		return err
	}
	name, err := d.ask.line(ctx, d.t("Name of the backup [card.img.zst]"))
	if err != nil {
		return err
	}
	if name == "" {
		name = "card.img.zst"
	}
	o := backupOptions{from: from, to: filepath.Join(dir, filepath.Base(name))}
	return d.runNow(ctx, func(ctx context.Context, e *env) error { return runBackup(ctx, e, o) })
}

func (d *desk) check(ctx context.Context) error {
	i, err := d.choose(ctx, d.t("Check what?"), []string{d.t("A disk: would it boot?"), d.t("A backup: is it whole?"), d.t("Back")})
	if err != nil {
		return err
	}
	switch i {
	case 0:
		place, err := d.pickDisk(ctx, d.t("Which disk?"), false)
		if err != nil {
			return err
		}
		return d.runNow(ctx, func(ctx context.Context, e *env) error { return inspect(ctx, e, place, false) })
	case 1:
		place, err := d.pickImage(ctx)
		if err != nil {
			return err
		}
		return d.runNow(ctx, func(ctx context.Context, e *env) error { return verify(ctx, e, place, "", image.Options{}) })
	}
	return errBack
}

// run runs a command that asks for consent before it writes. It is told at all
// consoles.
func (d *desk) run(ctx context.Context, do func(ctx context.Context, e *env) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var keys sync.WaitGroup
	d.agreed = func() {
		d.say("ctrl-C stops it.")
		keys.Go(func() {
			d.waitForCtrlC(ctx)
			cancel()
		})
	}
	err := do(ctx, d.at(d.consoles, false))
	cancel()
	keys.Wait()
	return err
}

// runNow runs a command that asks nothing.
func (d *desk) runNow(ctx context.Context, do func(ctx context.Context, e *env) error) error {
	return d.run(ctx, func(ctx context.Context, e *env) error {
		d.agreed()
		return do(ctx, e)
	})
}

const ctrlC = 3 // ASCII, ETX

func (d *desk) waitForCtrlC(ctx context.Context) {
	key := make([]byte, 1)
	for {
		if _, err := d.session.ReadContext(ctx, key); err != nil || key[0] == ctrlC {
			return
		}
	}
}

// consent shows the word and asks for it.
func (d *desk) consent(ctx context.Context, f disk.Facts) error {
	answer, err := d.ask.line(ctx, d.t("%s Type %s to go on", speech.New("All of %s will be lost.", f.Disk.Path), f.Word))
	if err != nil {
		return err
	}
	if err := disk.Say(answer)(ctx, f); err != nil {
		return err
	}
	d.agreed()
	return nil
}

func (d *desk) shell(ctx context.Context) error {
	tty, err := d.session.File()
	if err != nil {
		return err
	}
	defer tty.Close()
	back, err := d.session.Line()
	if err != nil {
		return err
	}
	d.say("help lists the commands, exit leads back to the menu.")
	return errors.Join(uinit.Shell(ctx, tty, tty, tty, nil), back())
}

// pickImage lets choose among the images on plugged-in disks, or asks for an
// address.
func (d *desk) pickImage(ctx context.Context) (string, error) {
	found, err := d.images()
	if err != nil {
		return "", err
	}
	var items []string
	for _, path := range found {
		items = append(items, strings.TrimPrefix(path, mediaRoot+"/"))
	}
	items = append(items, d.t("From the network: type an address"), d.t("Back"))
	i, err := d.choose(ctx, d.t("Which backup?"), items)
	switch {
	case err != nil:
		return "", err
	case i < len(found):
		return found[i], nil
	case i == len(found):
		return d.pickAddress(ctx)
	}
	return "", errBack
}

func (d *desk) pickAddress(ctx context.Context) (string, error) {
	lease, err := d.network.up(ctx, d.rescuer)
	if err != nil {
		return "", err
	}
	d.setClock(ctx, lease)
	place, err := d.ask.line(ctx, d.t("Address of the backup (http://, https://, sftp://)"))
	if err == nil && !strings.Contains(place, "://") {
		return "", errBack
	}
	return place, err
}

// pickDisk lets choose a disk; a target only among those that nobody uses.
func (d *desk) pickDisk(ctx context.Context, title string, target bool) (string, error) {
	all, err := lookAtDisks(d.env.sys)
	if err != nil {
		return "", err
	}
	var items, paths []string
	for _, f := range all {
		if f.Disk.Bus == loopBus {
			continue
		}
		if target && (len(f.Users) > 0 || f.Disk.Size == 0) {
			continue
		}
		items = append(items, d.t("%s, holds %s", diskWords(f.Disk), clone.HoldsWords(f.Holds)))
		paths = append(paths, f.Disk.Path)
	}
	i, err := d.choose(ctx, title, append(items, d.t("Back")))
	if err != nil {
		return "", err
	}
	if i == len(paths) {
		return "", errBack
	}
	return paths[i], nil
}

// pickFolder mounts a part of another disk for writing.
func (d *desk) pickFolder(ctx context.Context, not string) (string, error) {
	disks, err := d.disks()
	if err != nil {
		return "", err
	}
	var items []string
	var parts []disk.Partition
	for _, one := range disks {
		if one.Path == not {
			continue
		}
		for _, p := range one.Parts {
			items = append(items, d.t("%s on %s", p.Name, diskWords(one)))
			parts = append(parts, p)
		}
	}
	i, err := d.choose(ctx, d.t("Save to which part?"), append(items, d.t("Back")))
	if err != nil {
		return "", err
	}
	if i == len(parts) {
		return "", errBack
	}
	if err := d.media.close(); err != nil {
		return "", err
	}
	return d.mountAny(parts[i], false)
}
