package main

import (
	"cmp"
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
	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/increment"
	"lifeboat/clone/manifest"
	"lifeboat/clone/repo"
	"lifeboat/internal/progress"
	"lifeboat/netboot"
)

// snapshotOptions are for a backup into a repository.
type snapshotOptions struct {
	name, series, sign string
	kind               string // the schedule that it is of
	full               bool   // read all, also what cannot have changed
	every              int    // do so each Nth time; 0 = as package increment has it
	mend               bool   // read all, and put damaged chunks anew

	id   string    // where another snapshot names it; "" = made when it is saved
	time time.Time // of both of a pair; zero = when it is saved
	host string    // "" = as the disk says
}

func (o *snapshotOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "repository: give the snapshot this `NAME`")
	f.StringVar(&o.series, "series", "", "repository: which system's snapshots it follows, by 16 hex `DIGITS`; else that is found out")
	f.StringVar(&o.sign, "sign", "", "repository: sign the snapshot with this minisign `KEY` file")
	f.BoolVar(&o.full, "full", false, "repository, running system: read all, also what cannot have changed, and check that")
	f.IntVar(&o.every, "full-every", increment.Every, "repository, running system: do so each `N`th time")
	f.BoolVar(&o.mend, "mend", false, "repository: read all, and put what is damaged there anew, as far as the disk still has it")
}

// backupToRepo saves a disk as a snapshot.
func backupToRepo(ctx context.Context, e *env, o backupOptions) error {
	if o.overwrite || o.level != 0 {
		return usage("--overwrite and --level are for images, and %s is a repository", shown(o.to))
	}
	r, err := e.openRepo(ctx, o.to)
	if errors.Is(err, repo.ErrNoRepository) {
		err = &clone.Refusal{
			Err:  fmt.Errorf("%w, and an image to be written is named .img, .img.gz or .img.zst", err),
			Hint: "lifeboat repo init makes a repository",
		}
	}
	if err != nil {
		return err
	}
	save := func(src *origin, o backupOptions) error { return e.saveSnapshot(ctx, src, r, o) }
	from := e.unsigned()
	switch {
	case o.from == "/" && o.keepGoing:
		return errors.Join(refuseKeepGoing("the running system's disk"), r.Close())
	case o.from == "/":
		return errors.Join(from.withRunning(ctx, o, e.snapshotsOn(r), save), r.Close())
	case o.with != "":
		return errors.Join(from.saveTwo(ctx, o, e.snapshotsOn(r), save), r.Close())
	}
	src, err := from.openOrigin(ctx, o.from, image.Options{KeepGoing: o.keepGoing, UsedOnly: true})
	if err != nil {
		return errors.Join(err, r.Close())
	}
	return errors.Join(save(src, o), src.Close(), r.Close())
}

func (e *env) saveSnapshot(ctx context.Context, src *origin, r *repo.Repo, o backupOptions) error {
	if e.dry {
		return e.tellEstimate(src, o)
	}
	e.showProgress()
	start := e.clock()
	made, err := e.snapshot(ctx, src, r, o)
	e.show.stop()
	if err != nil {
		return fmt.Errorf("%s → %s: %w", shown(o.from), shown(o.to), err)
	}
	return e.tellSnapshot(made, o, e.clock().Sub(start))
}

// noSeries is a no of repo.Save, with what can be done about it.
func noSeries(err error) error {
	hint := ""
	if errors.Is(err, repo.ErrSeries) {
		hint = "--series= takes the 16 hex digits of its earlier snapshots, or new ones"
	}
	return &clone.Refusal{Err: err, Hint: hint}
}

// A taken is a snapshot that was made.
type taken struct {
	*repo.Snapshot
	tail         *manifest.Tail
	increment    *increment.Report // nil: the disk was not in use, so all was read
	reservations []string
}

// snapshot brings a source into a repository. It follows the newest snapshot whose
// files are not damaged: nobody is there at night to take another away.
func (e *env) snapshot(ctx context.Context, src *origin, r *repo.Repo, o backupOptions) (*taken, error) {
	opts, before, err := e.whatSnapshot(ctx, src, r, o)
	if err != nil {
		return nil, err
	}
	var damaged []string
	for {
		opts.Base = nil
		if len(before) > 0 && !opts.Mend {
			opts.Base = before[len(before)-1]
		}
		made, err := e.follow(ctx, src, r, opts, o)
		var bad *repo.BadSnapshotError
		if opts.Base != nil && errors.As(err, &bad) && bad.ID == opts.Base.ID && bad.Lasting() {
			e.logf("%v: this backup follows an earlier one", bad)
			damaged = append(damaged, fmt.Sprintf("the repository is damaged (%v): that one cannot be restored, repo forget takes %s/%s away; this one is whole", bad, bad.Series, bad.ID))
			before = before[:len(before)-1]
			continue
		}
		if err == nil {
			made.reservations = append(made.reservations, damaged...)
		}
		return made, err
	}
}

// follow makes the snapshot that follows a base: of a disk in use it reads what may
// have changed since, or all.
func (e *env) follow(ctx context.Context, src *origin, r *repo.Repo, opts repo.SaveOptions, o backupOptions) (_ *taken, err error) {
	var since *sinceLast
	if src.running != nil {
		if since, err = e.sinceLast(ctx, src, r, opts, o.snapshot); err != nil {
			return nil, err
		}
		defer since.close()
	}
	made, err := e.take(ctx, src, r, opts, o)
	if since.useless(err) {
		opts.Base, opts.Mend = nil, true
		made, err = e.take(ctx, src, r, opts, o)
	}
	if err != nil {
		return nil, err
	}
	if since != nil {
		report := since.ended(ctx, made.Snapshot)
		made.increment = &report
		made.reservations = append(made.reservations, since.alarms(report, src.head)...)
	}
	return made, nil
}

// take makes the snapshot.
func (e *env) take(ctx context.Context, src *origin, r *repo.Repo, opts repo.SaveOptions, o backupOptions) (*taken, error) {
	sink, err := r.Save(opts)
	if err != nil {
		return nil, noSeries(err)
	}
	tail, err := clone.Save(ctx, o.paced(src.Source), src.head, sink, e.meter)
	if err != nil {
		return nil, err
	}
	return &taken{Snapshot: sink.Snapshot(), tail: tail, reservations: reservationsOf(o.noVerify, src.head, tail)}, nil
}

// whatSnapshot finds out whose disk it is, and which snapshots go before.
func (e *env) whatSnapshot(ctx context.Context, src *origin, r *repo.Repo, o backupOptions) (repo.SaveOptions, []*repo.Snapshot, error) {
	opts := repo.SaveOptions{Series: o.snapshot.series, Name: o.snapshot.name, Type: o.snapshot.kind, Verify: !o.noVerify, Meter: e.meter, Areas: src.areas}
	opts.ID, opts.Time, opts.Pair = o.snapshot.id, o.snapshot.time, o.pair
	opts.Identity, opts.Host = e.whose(src, o.from == "/")
	opts.Host = cmp.Or(o.snapshot.host, opts.Host)
	if opts.Series == "" {
		opts.Series = opts.Identity.Series()
	}
	if o.snapshot.sign != "" {
		key, err := signingKey(o.snapshot.sign)
		if err != nil {
			return opts, nil, err
		}
		opts.Sign = &key
	}
	opts.Mend = o.snapshot.mend
	if opts.Series == "" {
		return opts, nil, nil // Save says so
	}
	before, err := r.Snapshots(ctx, opts.Series)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		e.logf("%v", err) // a damaged one must not stop new ones
	}
	return opts, before, nil
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
	if running {
		return e.runningIdentity(src.head.Table.ID)
	}
	id := repo.Identity{Disk: src.head.Table.ID}
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

// runningIdentity is that of the running system, on a disk of that ID.
func (e *env) runningIdentity(disk string) (repo.Identity, string) {
	host, _ := os.Hostname()
	id := repo.Identity{Serial: netboot.Board(e.sys.Proc, e.sys.Sys).Serial, Machine: textOf(os.DirFS("/"), "etc/machine-id"), Disk: disk}
	return id, printable(host)
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

func (e *env) tellSnapshot(s *taken, o backupOptions, took time.Duration) error {
	name := shown(o.to) + "@" + s.Label()
	if e.json {
		err := json.NewEncoder(e.stdout).Encode(map[string]any{
			"message": "done", "to": name, "snapshot": s.Snapshot, "seconds": took.Seconds(), "live": s.tail.Live, "verified": !o.noVerify,
			"unreadable": s.tail.Unreadable, "increment": s.increment,
		})
		return errors.Join(err, reserved(s.reservations))
	}
	fmt.Fprintf(e.stdout, "%s: %s in use of %s saved in %.1f s, %s of it new, %s\n", name, progress.Bytes(s.Used), progress.Bytes(s.Size),
		took.Seconds(), progress.Bytes(s.Added), verifiedWord(!o.noVerify))
	if live := s.tail.Live; live != nil {
		fmt.Fprintf(e.stdout, "  as of one instant: writers waited %d ms, %s copied again (%s)\n", live.FrozenMS, progress.Bytes(live.Caught), live.Method)
		if s.increment.Full == "" {
			fmt.Fprintf(e.stdout, "  read %s of %s in use: what may have changed\n", progress.Bytes(live.Read), progress.Bytes(s.Used))
		} else {
			fmt.Fprintf(e.stdout, "  all was read: %s\n", s.increment.Full)
		}
	}
	return e.tellReservations(reserved(s.reservations))
}
