package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

type backupOptions struct {
	from, to  string
	with      string         // a second disk that is saved along
	second    string         // to this image
	pair      *manifest.Pair // the backup of the other disk of the same system
	overwrite bool
	level     int
	noVerify  bool
	keepGoing bool
	live      liveOptions
	pace      func(ctx context.Context) // waits before each record where memory is short; nil: no need
	snapshot  snapshotOptions
	target    restoreOptions // where the output is a disk
}

func newBackup(e *env) *cobra.Command {
	o := backupOptions{}
	cmd := &cobra.Command{
		Use:   "backup SRC FILE|DISK|REPO",
		Short: "Save a disk: a card in a reader, or the running system's own",
		Long: `Saves the bytes in use of a disk into an image that every tool can write back:

  FILE.img      sparse, with a bmap beside it
  FILE.img.zst  packed; small and fast
  FILE.img.gz   packed; what every tool reads

or into a repository (lifeboat repo init makes one), which holds many snapshots and
stores what they have in common once.

A packed image can also go to a server while it is made, with no copy in between:
sftp://user@host/folder/pi.img.zst or s3://bucket/folder/pi.img.zst (docs/STORES.md
says how to log in). That of the running system cannot: give a path.

The image is read back past the cache and held against the digests of what was
read from the disk, before it gets its name: a bad one never replaces a good one.
On a server it is read back when it has its name, and a bad one is removed.

SRC is a disk that nobody uses, or / for the running system's own: it is copied
while everything runs, frozen for a moment, and the backup is exactly what the
disk held at that moment (docs/LIVE.md). Into a repository a later backup reads
the metadata, and else only what may have changed since the last one.

A system that lies on two disks is saved into two images that name each other,
--with and --second, or into two snapshots, --with. Restore makes two disks, or
one, of them. / finds by itself that its boot part lies on another disk, and saves
that as FILE.boot.img…, or as the snapshot HOST.boot/….

A disk that cannot be read everywhere ends the run, with the bytes and their
part. --keep-going reads around such places, saves zeros in their stead, and says
where they lie: now, and whenever the backup is used (exit code 5).`,
		Example: `  lifeboat backup /dev/sdb card.img.zst
  lifeboat backup /dev/sda card.img.zst --with=/dev/sdb --second=root.img.zst
  lifeboat backup /dev/sdb sftp://pi@nas/backups/card.img.zst
  sudo lifeboat backup / /mnt/nas/pi.img.zst
  sudo lifeboat backup --name="Before upgrade" / /mnt/nas/pis`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runBackup(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.overwrite, "overwrite", false, "replace an image that is there")
	addLevel(f, &o.level)
	f.StringVar(&o.target.yes, "yes", "", "where the output is a disk: agree, by the `WORD` that the plan shows")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read back (exit code 5)")
	addKeepGoing(cmd, &o.keepGoing)
	f.StringVar(&o.with, "with", "", "save a second disk along, `SRC2`: the first one boots, the root is on the second")
	f.StringVar(&o.second, "second", "", "image: that of the second disk, `FILE2`, in the folder of the first")
	o.snapshot.addFlags(cmd)
	o.live.addFlags(cmd)
	e.addRepo(cmd)
	e.addDryRun(cmd)
	return cmd
}

// namesImage tells whether a place is called as an image is. What is not can only be
// a repository: one that cannot be opened says why.
func namesImage(place string) bool {
	switch extOf(place) {
	case ".img", ".gz", ".zst", ".xz":
		return true
	}
	return false
}

func runBackup(ctx context.Context, e *env, o backupOptions) error {
	if toDisk, err := e.isDisk(o.to); err == nil && toDisk {
		o.target.from, o.target.to, o.target.ids = o.from, o.to, string(clone.KeepIDs)
		o.target.noVerify, o.target.keepGoing = o.noVerify, o.keepGoing
		o.target.with, o.target.second = o.with, o.second
		return runClone(ctx, e, o.target, o.live)
	}
	if !namesImage(o.to) || e.isRepo(ctx, o.to) {
		if o.second != "" {
			return usage("--second names a second image, and %s is a repository, which names its snapshots by itself", shown(o.to))
		}
		if o.from == "/" && o.with != "" {
			return usage("/ finds by itself that it lies on two disks")
		}
		return backupToRepo(ctx, e, o)
	}
	if o.snapshot != (snapshotOptions{every: o.snapshot.every}) {
		return usage("--name, --series, --sign, --full, --full-every and --mend are for a repository, and %s is none", shown(o.to))
	}
	if o.from != "/" && (o.with != "" || o.second != "") {
		if o.with == "" {
			return usage("--second is for a second disk: name it with --with")
		}
		if err := o.checkSecond(); err != nil {
			return err
		}
		return e.saveTwo(ctx, o, imagesOf, func(src *origin, o backupOptions) error { return e.save(ctx, src, o) })
	}
	if o.from == "/" {
		if o.keepGoing {
			return refuseKeepGoing("the running system's disk")
		}
		if o.with != "" {
			return usage("/ finds by itself that it lies on two disks; --second names the image of the one that boots")
		}
		if err := noSpool(o.to, "the running system is spooled before it is packed"); err != nil {
			return err
		}
		return e.withRunning(ctx, o, imagesOf, func(src *origin, o backupOptions) error { return e.save(ctx, src, o) })
	}
	src, err := e.openOrigin(ctx, o.from, image.Options{KeepGoing: o.keepGoing, UsedOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(e.save(ctx, src, o), src.Close())
}

// save brings a source into an image.
func (e *env) save(ctx context.Context, src *origin, o backupOptions) error {
	if e.dry {
		return e.tellEstimate(src, o)
	}
	sink, err := e.openSink(src, o)
	if err != nil {
		return err
	}
	e.showProgress()
	start := e.clock()
	tail, err := clone.Save(ctx, src.Source, src.head, sink, e.meter)
	if err != nil {
		return isThere(fmt.Errorf("%s → %s: %w", shown(o.from), shown(o.to), err)) // of a server it is told only now
	}
	e.show.stop()
	return e.tellSaved(src, o, tail, e.clock().Sub(start))
}

// openSink begins the image. What a live source catches up with comes as
// patches, which a packed image takes by way of a spool.
func (e *env) openSink(src *origin, o backupOptions) (clone.Sink, error) {
	opts := image.SinkOptions{Overwrite: o.overwrite, Level: o.level, Verify: !o.noVerify, Meter: e.meter, Logf: e.logf, Areas: src.areas, Pair: o.pair}
	var sink clone.Sink
	var err error
	if o.from == "/" {
		sink, err = image.Spool(o.to, opts)
	} else {
		sink, err = e.createImage(o.to, opts)
	}
	return sink, isThere(err)
}

// isThere refuses to replace an image unasked.
func isThere(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &clone.Refusal{Err: err, Hint: "take another name, or give --overwrite"}
	}
	return err
}

func (e *env) tellEstimate(src *origin, o backupOptions) error {
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"message": "plan", "from": shown(o.from), "to": shown(o.to), "head": src.head})
	}
	l, used := e.language, progress.Bytes(src.head.Used())
	fmt.Fprintf(e.stdout, "%s → %s: %s\n", shown(o.from), shown(o.to), l.T("%s in use of %s", used, progress.Bytes(src.head.Size)))
	notes := slices.Clone(src.head.Table.Notes)
	for _, p := range src.head.Parts {
		if p.Why != "" {
			notes = append(notes, speech.New("part %d: all bytes are copied: %s", p.Num, p.Why))
		}
	}
	for _, a := range src.head.Areas {
		notes = append(notes, speech.New("boot area %s: %s, to %s", a.Name, progress.Bytes(a.Size), image.AreaFile(shown(o.to), a.Name)))
	}
	for _, note := range notes {
		fmt.Fprintf(e.stdout, "  %s\n", note.In(l))
	}
	return nil
}

func (e *env) tellSaved(src *origin, o backupOptions, tail *manifest.Tail, took time.Duration) error {
	used := tail.Used.Bytes()
	if e.json {
		err := json.NewEncoder(e.stdout).Encode(map[string]any{
			"message": "done", "to": shown(o.to), "used": used, "size": src.head.Size, "seconds": took.Seconds(),
			"live": tail.Live, "verified": !o.noVerify, "unreadable": tail.Unreadable,
		})
		return errors.Join(err, reservations(o.noVerify, src.head, tail))
	}
	rate := progress.Bytes(int64(float64(used) / max(took.Seconds(), 0.001)))
	fmt.Fprintf(e.stdout, "%s: %s in use of %s saved in %.1f s, %s/s, %s\n", shown(o.to), progress.Bytes(used), progress.Bytes(src.head.Size),
		took.Seconds(), rate, verifiedWord(!o.noVerify))
	if live := tail.Live; live != nil {
		fmt.Fprintf(e.stdout, "  as of one instant: writers waited %d ms, %s copied again (%s)\n", live.FrozenMS, progress.Bytes(live.Caught), live.Method)
	}
	return e.tellReservations(reservations(o.noVerify, src.head, tail))
}

// tellReservations prints what is not as it should be.
func (e *env) tellReservations(err error) error {
	var reserved reservedError
	if errors.As(err, &reserved) {
		for _, text := range reserved.reservations {
			fmt.Fprintf(e.stdout, "  but: %s\n", text)
		}
	}
	return err
}

// reservations are those of an image that nobody read back, or that has zeros
// for what could not be read.
func reservations(unread bool, h *manifest.Head, tail *manifest.Tail) error {
	return reserved(reservationsOf(unread, h, tail))
}

func reservationsOf(unread bool, h *manifest.Head, tail *manifest.Tail) []string {
	var texts []string
	if words := clone.LostWords(h, tail.Unreadable); !words.IsZero() {
		texts = append(texts, words.String())
	}
	if unread {
		texts = append(texts, "nothing was read back: it was not verified")
	}
	return texts
}

// verifiedWord ends the line that says what was done.
func verifiedWord(yes bool) string {
	if yes {
		return "verified"
	}
	return "not verified"
}
