package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"aead.dev/minisign"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/internal/progress"
	"lifeboat/netboot"
)

// snapshotOptions are for a backup into a repository.
type snapshotOptions struct {
	name, series, sign string
}

// backupToRepo saves a disk as a snapshot.
func backupToRepo(ctx context.Context, e *env, o backupOptions) error {
	if o.overwrite || o.level != 0 {
		return usage("--overwrite and --level are for images, and %s is a repository", shown(o.to))
	}
	r, err := e.openRepo(ctx, o.to)
	if err != nil {
		return err
	}
	save := func(src *origin) error { return e.saveSnapshot(ctx, src, r, o) }
	if o.from == "/" {
		if o.keepGoing {
			return errors.Join(refuseKeepGoing("the running system's disk"), r.Close())
		}
		return errors.Join(e.runningToRepo(ctx, o, save), r.Close())
	}
	src, err := e.openOrigin(ctx, o.from, image.Options{KeepGoing: o.keepGoing})
	if err != nil {
		return errors.Join(err, r.Close())
	}
	return errors.Join(save(src), src.Close(), r.Close())
}

// runningToRepo saves the running system, if it lies on one disk: a repository
// cannot say of two snapshots that they are of one instant.
func (e *env) runningToRepo(ctx context.Context, o backupOptions, save func(*origin) error) error {
	root, err := live.RootDisk(e.sys)
	if err != nil {
		return refusal(err)
	}
	boot, point, err := live.BootDisk(e.sys, root)
	if err != nil {
		return refusal(err)
	}
	if boot != "" {
		return &clone.Refusal{Err: fmt.Errorf("%s lies on another disk, %s: a repository takes systems on one disk only", point, boot), Hint: "save it into images: lifeboat backup / FILE.img.zst"}
	}
	return e.withRunning(ctx, o.to, o.live, save)
}

func (e *env) saveSnapshot(ctx context.Context, src *origin, r *repo.Repo, o backupOptions) error {
	if e.dry {
		return e.tellEstimate(src, o)
	}
	opts, err := e.whatSnapshot(ctx, src, r, o)
	if err != nil {
		return err
	}
	sink, err := r.Save(opts)
	if err != nil {
		return &clone.Refusal{Err: fmt.Errorf("%s: %w", o.from, err), Hint: "--series= takes the 16 hex digits of its earlier snapshots, or new ones"}
	}
	e.showProgress()
	start := e.clock()
	tail, err := clone.Save(ctx, src.Source, src.head, sink, e.meter)
	if err != nil {
		return fmt.Errorf("%s → %s: %w", o.from, shown(o.to), err)
	}
	e.show.stop()
	return e.tellSnapshot(src, sink.Snapshot(), tail, o, e.clock().Sub(start))
}

// whatSnapshot finds out whose disk it is, and which snapshot goes before.
func (e *env) whatSnapshot(ctx context.Context, src *origin, r *repo.Repo, o backupOptions) (repo.SaveOptions, error) {
	opts := repo.SaveOptions{Series: o.snapshot.series, Name: o.snapshot.name, Verify: !o.noVerify, Meter: e.meter, Areas: src.areas}
	opts.Identity, opts.Host = e.whose(src, o.from == "/")
	if opts.Series == "" {
		opts.Series = opts.Identity.Series()
	}
	if o.snapshot.sign != "" {
		key, err := signingKey(o.snapshot.sign)
		if err != nil {
			return opts, err
		}
		opts.Sign = &key
	}
	if opts.Series == "" {
		return opts, nil // Save says so
	}
	before, err := r.Snapshots(ctx, opts.Series)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		e.logf("%v", err) // a damaged one must not stop new ones
	}
	if len(before) > 0 {
		opts.Base = before[len(before)-1]
	}
	return opts, nil
}

// signingKey reads a minisign key that has no password.
func signingKey(path string) (minisign.PrivateKey, error) {
	var key minisign.PrivateKey
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	if minisign.IsEncrypted(text) {
		return key, &clone.Refusal{Err: fmt.Errorf("%s has a password, and a backup is made without a person", path), Hint: "minisign -G -W makes a key without one"}
	}
	if err := key.UnmarshalText(text); err != nil {
		return key, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// whose tells whose disk it is: of the running system, or by what lies on it.
func (e *env) whose(src *origin, running bool) (repo.Identity, string) {
	id := repo.Identity{Disk: src.head.Table.ID}
	if running {
		root := os.DirFS("/")
		id.Serial, id.Machine = netboot.Board(e.sys.Proc, e.sys.Sys).Serial, textOf(root, "etc/machine-id")
		host, _ := os.Hostname()
		return id, printable(host)
	}
	r, ok := src.files()
	if !ok {
		return id, ""
	}
	root := clone.BootTrees(r, src.head).Root
	if root == nil {
		return id, ""
	}
	id.Machine = textOf(root, "etc/machine-id")
	return id, textOf(root, "etc/hostname")
}

// mostText bounds a host's name, and a machine ID.
const mostText = 128

// textOf is the first line of a small file; "" where there is none.
func textOf(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, mostText))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return printable(line)
}

// printable drops what cannot stand in a snapshot's name.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '/' || r == '@' {
			return -1
		}
		return r
	}, s)
}

func (e *env) tellSnapshot(src *origin, s *repo.Snapshot, tail *manifest.Tail, o backupOptions, took time.Duration) error {
	name := shown(o.to) + "@" + s.Label()
	if e.json {
		err := json.NewEncoder(e.stdout).Encode(map[string]any{
			"message": "done", "to": name, "snapshot": s, "seconds": took.Seconds(), "live": tail.Live, "verified": !o.noVerify,
			"unreadable": tail.Unreadable,
		})
		return errors.Join(err, reservations(o.noVerify, src.head, tail))
	}
	fmt.Fprintf(e.stdout, "%s: %s in use of %s saved in %.1f s, %s of it new, %s\n", name, progress.Bytes(s.Used), progress.Bytes(s.Size),
		took.Seconds(), progress.Bytes(s.Added), verifiedWord(!o.noVerify))
	if live := tail.Live; live != nil {
		fmt.Fprintf(e.stdout, "  as of one instant: writers waited %d ms, %s copied again (%s)\n", live.FrozenMS, progress.Bytes(live.Caught), live.Method)
	}
	return e.tellReservations(reservations(o.noVerify, src.head, tail))
}
