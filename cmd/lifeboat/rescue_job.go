package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/image"
	"lifeboat/initramfs/uinit"
	"lifeboat/netboot"
)

// errIdle says that there is nothing to do here without a person.
var errIdle = errors.New("nothing to do without a person")

// work does what a board does with nobody at it. It returns nil when a person
// has come, or is needed; else an exitError.
func (r *rescuer) work(ctx context.Context, g *gate) error {
	for ctx.Err() == nil {
		found, err := r.findJob(ctx)
		if err == nil {
			err = r.do(ctx, g, found)
		}
		var exit exitError
		var wrong *image.DigestError // trying again would bring the same image
		switch {
		case errors.As(err, &exit):
			return err
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errIdle):
			r.sayf("%v", err)
			return nil
		case isRefusal(err) || errors.As(err, &wrong):
			r.sayf("lifeboat: %v", err)
			return nil
		}
		r.sayf("lifeboat: %v", err)
		r.say("Trying again in %s; press Enter for the menu.", retryAfter)
		pause(ctx, retryAfter)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// findJob asks the stick, then the network.
func (r *rescuer) findJob(ctx context.Context) (*netboot.Found, error) {
	if found, err := r.jobOnStick(); found != nil || err != nil {
		return found, err
	}
	lease, err := r.network.up(ctx, r)
	if err != nil {
		return nil, err
	}
	r.setClock(ctx, lease)
	places := netboot.Places(lease, r.board)
	if r.info.JobURL != "" {
		places = append(places, r.info.JobURL)
	}
	found, err := netboot.Find(ctx, nil, places, netboot.Trust{Keys: r.info.Keys, Network: r.info.TrustNetwork})
	if err != nil {
		return nil, err
	}
	r.say("job %s from %s", found.Job.ID, found.URL)
	if !found.Obey {
		return nil, fmt.Errorf("%w: job %s is not obeyed: %s", errIdle, found.Job.ID, found.Why)
	}
	return found, nil
}

// do carries a job out.
func (r *rescuer) do(ctx context.Context, g *gate, found *netboot.Found) error {
	job := found.Job
	if ok, why := job.For(r.board); !ok {
		return fmt.Errorf("%w: job %s is for another board: %s", errIdle, job.ID, why)
	}
	disks, err := lookAtDisks(r.env.sys)
	if err != nil {
		return err
	}
	if err := r.doneBefore(job, disks); err != nil {
		return err
	}
	picked, err := job.Pick(candidates(disks))
	if err != nil {
		return fmt.Errorf("%w: job %s: %w", errIdle, job.ID, err)
	}
	o, err := r.jobOptions(found, disks[picked])
	if err != nil {
		return err
	}
	r.say("job %s: %s → %s in %s; press Enter to stop it", job.ID, shown(o.from), o.to, lastChance)
	pause(ctx, lastChance)
	if err := g.close(ctx); err != nil {
		return err
	}
	e := r.at(r.consoles, false)
	e.repo.signedBy = job.Source.SignedBy
	err = runRestore(ctx, e, o)
	g.open()
	var reserved reservedError
	if err != nil && !errors.As(err, &reserved) {
		return fmt.Errorf("job %s: %w", job.ID, err)
	}
	r.say("job %s is done.", job.ID)
	return r.after(job)
}

// after is what follows a job that was done.
func (r *rescuer) after(job *netboot.Job) error {
	if job.After.Message != "" {
		r.sayf("%s", job.After.Message)
	}
	switch job.After.Action {
	case "poweroff":
		return exitError{uinit.ExitPoweroff}
	case "menu":
		return errIdle
	}
	return exitError{uinit.ExitReboot}
}

func (r *rescuer) jobOptions(found *netboot.Found, f disk.Facts) (restoreOptions, error) {
	job := found.Job
	from, err := job.Image(found.URL)
	if err != nil {
		return restoreOptions{}, fmt.Errorf("job %s: %w", job.ID, err)
	}
	record, err := netboot.Record(nil, netboot.Done{ID: job.ID, Date: r.env.clock().UTC(), Source: shown(from), Digest: job.Source.SHA256})
	if err != nil {
		return restoreOptions{}, err
	}
	return restoreOptions{
		from: from, to: f.Disk.Path,
		ids: job.Restore.IDs, grow: string(job.Restore.Grow), noVerify: !job.Restore.Verify,
		sha256:  cmp.Or(job.Source.SHA256, job.Source.Content),
		board:   thisBoard(r.board),
		stamp:   &clone.Stamp{Name: netboot.RecordFile, Data: record},
		consent: disk.Say(f.Word), // the job's rule has chosen the disk
	}, nil
}

// candidates are the disks as the rule of a job sees them.
func candidates(disks []disk.Facts) []netboot.Candidate {
	var list []netboot.Candidate
	for _, f := range disks {
		c := netboot.Candidate{
			Path: f.Disk.Path, Name: strings.TrimSpace(f.Disk.Model + " " + f.Disk.Serial),
			Slot: f.Disk.Slot, Size: f.Disk.Size, Blank: f.Holds == disk.Blank,
		}
		if !c.Blank && f.Holds != disk.Untold {
			c.ID = f.Holds
		}
		switch {
		case len(f.Users) > 0:
			c.Refused = usersOf(f)
		case f.Disk.Size == 0:
			c.Refused = "there is no card in it"
		case f.Disk.ReadOnly:
			c.Refused = "it is write-protected"
		}
		list = append(list, c)
	}
	return list
}

// doneBefore looks on each disk for the record of this job: a board that boots
// from the network first must not restore for ever.
func (r *rescuer) doneBefore(job *netboot.Job, disks []disk.Facts) error {
	for _, f := range disks {
		var record []byte
		err := eachFAT(r.env.sys, f.Disk.Path, func(_ disk.Partition, files fs.FS) error {
			if b, err := fs.ReadFile(files, netboot.RecordFile); err == nil {
				record = b
			}
			return nil
		})
		if err != nil || record == nil {
			continue
		}
		if done, ok := job.DoneIn(record); ok {
			return fmt.Errorf("%w: job %s was done on %s at %s, and is not done again; let the board boot from that disk",
				errIdle, job.ID, f.Disk.Path, done.Date.Format(time.RFC3339))
		}
	}
	return nil
}

// eachFAT shows the files of each FAT part of a disk, without mounting it.
func eachFAT(sys *disk.Sys, path string, do func(p disk.Partition, files fs.FS) error) error {
	src, err := disk.OpenSource(sys, path)
	if err != nil {
		return err
	}
	defer src.Close()
	for _, p := range src.Facts().Disk.Parts {
		window := io.NewSectionReader(src, p.Extent.Off, p.Extent.Len)
		what, err := filesystem.Probe(window, p.Extent.Len)
		if err != nil || what.Type != "vfat" {
			continue
		}
		files, err := filesystem.Files(window, p.Extent.Len, what)
		if err != nil {
			continue
		}
		if err := do(p, files); err != nil {
			return err
		}
	}
	return nil
}
