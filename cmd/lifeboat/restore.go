package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/image"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

type restoreOptions struct {
	from, to  string
	with      string // the second of two sources
	second    string // the second of two targets; "" = both sources become one disk
	ids       string
	grow      string
	yes       string
	noVerify  bool
	keepGoing bool
	sha256    string
	member    string
	parts     []int
	keep      []int
	device    string
	board     string
	stamp     *clone.Stamp
	consent   disk.Consent // of a job; else a person is asked
}

func newRestore(e *env) *cobra.Command {
	o := restoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore SRC DISK",
		Short: "Fill a disk from an image, and prove that it boots",
		Long: `Writes an image (.img, .img.gz, .img.zst, .img.xz, .img.bz2, .zip; a file or an
http, https, sftp or s3 address) to a disk. The bytes in use go to their places,
everything is read back and compared, the file systems are checked, the last part
grows to the disk, every boot reference is resolved, and the partition table is
written last: a disk that was half written does not boot. On a smaller disk the
last part, and the ext file system in it, become smaller if the content fits.

An address is read as a stream: nothing is stored in between, and a broken
connection is resumed. "-" is standard input, packed or not. REPO@latest is the
newest snapshot of a repository; lifeboat snapshots REPO lists the others.

Two disks that were saved (the boot part on a card, the root on an NVMe) become
one with --with: the parts of SRC2 follow those of SRC, with numbers and PARTUUIDs
of their own, and cmdline.txt and fstab follow. With --second=DISK2 they become
two disks again (docs/FORMAT.md).

Interrupted? Give the same command again: what is already right is kept.`,
		Example: `  lifeboat restore card.img.zst /dev/sdb
  lifeboat restore --dry-run http://nas/pi.img.gz /dev/mmcblk0
  lifeboat restore card.img.zst /dev/nvme0n1 --with=root.img.zst
  lifeboat restore /mnt/nas/pis@latest /dev/nvme0n1 --second=/dev/sda
  lifeboat restore sftp://pi@nas/backups/pi.img.zst /dev/sdb
  ssh nas cat pi.img.zst | lifeboat restore --yes=tobaku-37 - /dev/sdb
  lifeboat restore --yes=tobaku-37 card.img.zst /dev/sdb`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runRestore(cmd.Context(), e, o)
		},
	}
	addTargetFlags(e, cmd, &o, string(clone.KeepIDs))
	cmd.Flags().StringVar(&o.sha256, "sha256", "", "do not finish unless the image, as it lies there or unpacked, has this SHA-256")
	addMember(cmd, &o.member)
	e.addRepo(cmd)
	return cmd
}

// addMember gives the flag to a command that reads images.
func addMember(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "member", "", "which image of a zip file that holds several: the `NAME` in it")
}

// addTargetFlags are the flags of all commands that overwrite a disk.
func addTargetFlags(e *env, cmd *cobra.Command, o *restoreOptions, ids string) {
	f := cmd.Flags()
	f.StringVar(&o.ids, "ids", ids, "keep: the target replaces the source; new: both will be plugged in")
	f.StringVar(&o.grow, "grow", "last", "which part takes the room of a larger disk: last, none, or its number")
	f.StringVar(&o.yes, "yes", "", "agree, by the `WORD` that the plan shows")
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read back (exit code 5)")
	addKeepGoing(cmd, &o.keepGoing)
	f.IntSliceVar(&o.parts, "parts", nil, "write only these parts, as 1,2; others stay where the target has them already")
	f.IntSliceVar(&o.keep, "keep", nil, "leave these parts of the target as they are")
	f.StringVar(&o.device, "device", "", "names by place, as /dev/mmcblk0p2, become those of this `DISK`: /dev/nvme0n1")
	f.StringVar(&o.with, "with", "", "the source of a second disk, `SRC2`: both become one, the first one's parts in front")
	f.StringVar(&o.board, "board", "", "tell what this board would not find at boot: the `NAME` of a file in boards/data")
	f.StringVar(&o.second, "second", "", "two sources fill two disks, `DISK2` is the second; --yes takes both words, with a comma")
	e.addDryRun(cmd)
}

func runRestore(ctx context.Context, e *env, o restoreOptions) error {
	opts := image.Options{SHA256: o.sha256, Member: o.member, KeepGoing: o.keepGoing, Logf: e.logf}
	if o.second != "" {
		return e.fillTwo(ctx, o, opts)
	}
	src, err := e.openSources(ctx, o, opts)
	if err != nil {
		return err
	}
	return errors.Join(e.fill(ctx, src, o), src.Close())
}

// fill plans, shows, asks and executes: the one way from a source to a disk.
func (e *env) fill(ctx context.Context, src *origin, o restoreOptions) error {
	return e.withFile(o, src.head.Size, func() error { return e.fillDisk(ctx, src, o) })
}

// packedExts are the names of files that no disk is to be laid over.
var packedExts = []string{".gz", ".xz", ".zst", ".bz2", ".zip"}

// withFile makes an image file in a disk's place that is not there yet, and takes
// it away again where nothing came of it.
func (e *env) withFile(o restoreOptions, size int64, do func() error) error {
	if sameFile(o.from, o.to) || sameFile(o.with, o.to) || o.from == stdinPlace && e.isStdin(o.to) {
		return &clone.Refusal{Err: fmt.Errorf("%s is what is read from", o.to)}
	}
	if slices.Contains(packedExts, extOf(o.to)) {
		return &clone.Refusal{
			Err:  fmt.Errorf("%s has the name of a packed image, and what is written is a disk", o.to),
			Hint: "give a disk, or a name that ends in .img: lifeboat convert packs that",
		}
	}
	made, err := makeFile(o.to, size)
	if err != nil {
		return err
	}
	err = do()
	var touched *clone.TouchedError
	if made && (e.dry || err != nil && !errors.As(err, &touched) && exitCode(err) != exitReserved) {
		err = errors.Join(err, os.Remove(o.to))
	}
	return err
}

func (e *env) fillDisk(ctx context.Context, src *origin, o restoreOptions) error {
	f, err := e.planFill(ctx, src, o)
	if err != nil {
		return err
	}
	if err := e.showPlan(f.plan); err != nil || e.dry {
		return err
	}
	if err := f.claim(ctx, e, src.disks()); err != nil {
		return err
	}
	e.showProgress()
	return f.execute(ctx, e)
}

// A filling is a disk that is to be filled.
type filling struct {
	src    *origin
	o      restoreOptions
	facts  disk.Facts
	plan   *clone.Plan
	target *disk.Target // when it is claimed
}

func (e *env) planFill(ctx context.Context, src *origin, o restoreOptions) (*filling, error) {
	facts, err := e.sys.Look(o.to)
	if err == nil {
		err = usable(facts, src)
	}
	if err != nil {
		return nil, err
	}
	opts, err := e.planOptions(o)
	opts.From, opts.Guests, opts.Notes = src.place, src.guests, slices.Concat(src.notes, src.lost)
	if o.second == "" {
		opts.Notes = append(opts.Notes, src.pairNote()...)
	}
	if err == nil && o.board != "" {
		err = suit(&opts, src, o.board)
	}
	if err == nil {
		opts.Present, err = e.present(facts, src.head, o)
	}
	if err == nil {
		opts.Smaller, err = e.lookSmaller(ctx, src, facts, opts.Grow)
	}
	if err != nil {
		return nil, err
	}
	plan, err := clone.PlanRestore(src.head, facts, opts)
	if err == nil {
		err = e.runner().Try(ctx, plan)
	}
	return &filling{src: src, o: o, facts: facts, plan: plan}, err
}

// claim asks for consent. None of the disks in from is overwritten.
func (f *filling) claim(ctx context.Context, e *env, from []disk.Facts) error {
	if err := e.needPrograms(f.plan); err != nil {
		return err
	}
	consent := f.o.consent
	switch {
	case consent != nil:
	case f.o.second != "" && f.o.yes != "":
		consent = sayAny(f.o.yes)
	default:
		consent = e.consent(f.o.yes, lossWords(f.plan))
	}
	var err error
	f.target, err = disk.Claim(ctx, e.sys, f.facts, consent, from...)
	return err
}

// execute fills the claimed disk, gives it up, and tells how it went.
func (f *filling) execute(ctx context.Context, e *env) error {
	seed, err := e.seed(f.src, f.facts)
	if err != nil {
		return errors.Join(err, f.target.Close())
	}
	if seed != nil {
		defer seed.Close()
	}
	run := e.runner()
	run.Areas = f.src.areas
	report, err := run.Execute(ctx, f.plan, f.src.Source, f.target)
	if err = errors.Join(err, f.target.Close()); err != nil {
		return err
	}
	report.Reservations = append(report.Reservations, speech.Strings(f.src.lost)...)
	return e.tellReport(f.plan, report)
}

// usable tells early, before a plan is made, what Claim would refuse.
func usable(f disk.Facts, src *origin) error {
	for _, from := range src.disks() {
		if !f.File && from.Disk.Major == f.Disk.Major && from.Disk.Minor == f.Disk.Minor {
			return &clone.Refusal{Err: fmt.Errorf("%s is the disk that is read from", f.Disk.Path)}
		}
	}
	switch {
	case f.Disk.Size == 0:
		return &disk.NoMediumError{Path: f.Disk.Path}
	case len(f.Users) > 0:
		return &disk.InUseError{Path: f.Disk.Path, Users: f.Users}
	case f.Disk.ReadOnly:
		return &disk.ReadOnlyError{Path: f.Disk.Path}
	}
	return nil
}

// needPrograms refuses before the first write what would stop for want of a
// checker.
func (e *env) needPrograms(p *clone.Plan) error {
	for _, name := range p.Programs() {
		if !e.have(name) {
			return &clone.Refusal{
				Err:  fmt.Errorf("the restored disk is to be checked by %s, which is not installed here", name),
				Hint: "install e2fsprogs and dosfstools",
			}
		}
	}
	return nil
}

func (e *env) planOptions(o restoreOptions) (clone.Options, error) {
	opts := clone.Options{IDs: clone.IDs(o.ids), NoVerify: o.noVerify, Random: e.random, Stamp: o.stamp}
	if opts.IDs != clone.KeepIDs && opts.IDs != clone.NewIDs {
		return opts, usage("--ids is keep or new, not %q", o.ids)
	}
	var err error
	if opts.Grow, err = parseGrow(o.grow); err != nil {
		return opts, err
	}
	return opts, pickOptions(&opts, o)
}

func parseGrow(text string) (int, error) {
	switch text {
	case "last", "":
		return clone.GrowLast, nil
	case "none":
		return clone.GrowNone, nil
	}
	num, err := strconv.Atoi(text)
	if err != nil || num < 1 {
		return 0, usage("--grow is last, none or the number of a part, not %q", text)
	}
	return num, nil
}

func (e *env) showPlan(p *clone.Plan) error {
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"message": "plan", "plan": p})
	}
	out := e.stderr
	if e.dry {
		out = e.stdout
	}
	_, err := fmt.Fprint(out, p.In(e.language))
	if e.dry {
		e.showWord(out, p.Target)
	}
	return err
}

// showWord shows what agrees to a plan.
func (e *env) showWord(out io.Writer, t clone.Target) {
	if t.Word != "" {
		fmt.Fprintf(out, "  %-12s %s\n", e.language.T("to go on"), e.language.T("give --yes=%s", t.Word))
	}
}

// tellReport ends a run with one honest line, and the reservations.
func (e *env) tellReport(p *clone.Plan, r *clone.Report) error {
	e.show.stop()
	reservations := r.Reservations
	if !r.Verified {
		reservations = append(reservations, "nothing was read back: it was not verified")
	}
	if e.json {
		if err := json.NewEncoder(e.stdout).Encode(map[string]any{"message": "done", "report": r}); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(e.stdout, reportLine(p, r))
		for _, text := range reservations {
			fmt.Fprintf(e.stdout, "  but: %s\n", text)
		}
	}
	if len(reservations) > 0 {
		return reservedError{reservations}
	}
	return nil
}

func reportLine(p *clone.Plan, r *clone.Report) string {
	seconds := r.Elapsed.Seconds()
	same := ""
	if r.Same > 0 {
		same = fmt.Sprintf(" (%s were there already)", progress.Bytes(r.Same))
	}
	return fmt.Sprintf("%s: %s in use copied%s in %.1f s, %s/s, %s",
		p.Target.Path, progress.Bytes(r.Used), same, seconds, progress.Bytes(int64(float64(r.Used)/max(seconds, 0.001))), verifiedWord(r.Verified))
}

// sameFile tells whether two paths lead to one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// makeFile makes an empty, sparse image file where path is nothing yet, and
// tells whether it did.
func makeFile(path string, size int64) (bool, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(f.Truncate(size), f.Close())
}
