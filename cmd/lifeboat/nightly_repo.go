package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/live"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/nightly"
	"lifeboat/internal/progress"
)

// A repoShelf is a repository, and the snapshots of one system in it.
type repoShelf struct {
	// config
	e     *env
	place string
	make  repoInitOptions // of one that is not there yet
	sign  string          // file

	// state
	r       *repo.Repo // nil: it is not there yet
	series  string     // "" until something says it
	damaged string     // records that cannot be used
}

var (
	_ nightly.Shelf  = (*repoShelf)(nil)
	_ nightly.Tended = (*repoShelf)(nil)
)

// reaching is the environment with the keys of s.
func (b nightlyBackup) reaching(s nightly.Settings) (*env, error) {
	own := *b.e
	var err, errKey, errWho error
	own.repo = repoFlags{}
	own.repo.passphrase, err = b.vault.File(s.Repository.Passphrase)
	own.repo.identity, errKey = b.vault.File(s.Repository.Identity)
	if isAddress(s.To) && s.Credentials != "" {
		var file string
		file, errWho = b.vault.File(s.Credentials)
		own.places.SSH.Agent, own.places.SSH.Identities = "", []string{file}
		own.places.S3.AccessKey, own.places.S3.CredentialsFile = "", file
	}
	return &own, errors.Join(err, errKey, errWho)
}

// reach asks whether the server of a destination answers.
func (b nightlyBackup) reach(ctx context.Context, s nightly.Settings) error {
	own, err := b.reaching(s)
	if err != nil {
		return err
	}
	at, err := own.repoStore(s.To)
	if err == nil {
		_, err = store.Stat(ctx, at, repoFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (b nightlyBackup) openRepo(ctx context.Context, s nightly.Settings, place string, known bool) (*repoShelf, error) {
	own, err := b.reaching(s)
	if err != nil {
		return nil, err
	}
	shelf := &repoShelf{e: own, place: place}
	if shelf.sign, err = b.vault.File(s.Repository.Sign); err != nil {
		return nil, err
	}
	if shelf.series, err = own.seriesOf(ctx, s); err != nil {
		return nil, err
	}
	shelf.r, err = own.openRepo(ctx, place)
	switch {
	case errors.Is(err, repo.ErrKey):
		return nil, &clone.Refusal{Err: err, Hint: "repository.passphrase-file or repository.identity-file names what does"}
	case !errors.Is(err, repo.ErrNoRepository):
		return shelf, err
	}
	if known {
		return nil, &clone.Refusal{
			Err:  fmt.Errorf("the repository that earlier runs wrote to is not there: %w: is another disk mounted, or none?", err),
			Hint: "where it is gone for good, lifeboat repo init makes a new one, and what was lost of one",
		}
	}
	shelf.make = repoInitOptions{place: place, beside: true, chunk: defaultChunk, grace: repo.DefaultGrace, recipients: s.Repository.Recipients, identity: own.repo.identity}
	if len(s.Repository.Recipients) == 0 {
		shelf.make.passphrase = own.repo.passphrase
	}
	return shelf, shelf.mayMake()
}

// mayMake refuses what would not work, before anything is done.
func (s *repoShelf) mayMake() error {
	if len(s.make.recipients) > 0 && s.e.repo.identity == "" {
		return &clone.Refusal{Err: errors.New("repository.recipients says for whom the repository is encrypted, but a run has to open it, too: repository.identity-file is missing")}
	}
	if isAddress(s.place) {
		return nil
	}
	entries, err := os.ReadDir(s.place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if !s.besides(entry) {
			return &clone.Refusal{
				Err:  fmt.Errorf("%s is to become a repository, and holds %q", s.place, entry.Name()),
				Hint: "folder = \"NAME\" takes a folder in it, or name an empty one",
			}
		}
	}
	return err
}

// besides tells what a new repository may lie beside: what file systems and
// desktops put down by themselves, and folders of images.
func (s *repoShelf) besides(entry fs.DirEntry) bool {
	name := entry.Name()
	if strings.HasPrefix(name, ".") || name == "lost+found" || name == "System Volume Information" {
		return true
	}
	for _, kind := range nightly.ImageTypes() { // an image, and what lies beside it
		if i := strings.Index(name, "."+kind); i > 0 {
			_, ok := nightly.ParseName(name[:i+1+len(kind)])
			return ok
		}
	}
	found, err := newestIn(nightly.Below(s.place, name), name, s.e.clock())
	return err == nil && len(found) > 0
}

// seriesOf is the series of what s saves.
func (e *env) seriesOf(ctx context.Context, s nightly.Settings) (string, error) {
	if s.Repository.Series != "" {
		return s.Repository.Series, nil
	}
	if s.From != "/" {
		src, err := e.openOrigin(ctx, s.From, image.Options{UsedOnly: true})
		if err != nil {
			return "", err
		}
		id, _ := e.whose(src, false)
		return id.Series(), src.Close()
	}
	root, err := live.RootDisk(e.sys)
	if err != nil {
		return "", refusal(err)
	}
	facts, err := e.sys.Look(root)
	if err != nil {
		return "", err
	}
	id, _ := e.runningIdentity(diskID(facts))
	return id.Series(), nil
}

// Close closes the repository.
func (s *repoShelf) Close() error {
	if s.r == nil {
		return nil
	}
	return s.r.Close()
}

// all are the snapshots of this system, of both of its disks where it has lain on
// two. Those that cannot be used are noted, and stop nothing.
func (s *repoShelf) all(ctx context.Context) ([]*repo.Snapshot, error) {
	if s.r == nil || s.series == "" {
		return nil, nil
	}
	found, err := s.r.Snapshots(ctx, s.series)
	if slices.ContainsFunc(found, func(x *repo.Snapshot) bool { return x.Pair != nil }) {
		boot, bootErr := s.r.Snapshots(ctx, repo.BootSeries(s.series))
		found, err = append(found, boot...), errors.Join(err, bootErr)
	}
	var bad *repo.BadSnapshotError
	if errors.As(err, &bad) {
		s.damaged, err = err.Error(), nil
	}
	return found, err
}

// List implements nightly.Shelf. A backup of two disks is one snapshot here: the
// root's, which adds what both have added.
func (s *repoShelf) List(ctx context.Context) ([]nightly.Snapshot, error) {
	found, err := s.all(ctx)
	var list []nightly.Snapshot
	for _, x := range found {
		if x.OfBoot() {
			continue
		}
		added := x.Added
		if other := repo.OtherOf(found, x); other != nil {
			added += other.Added
		}
		list = append(list, nightly.Snapshot{
			Name: x.ID, Label: x.Label(), Schedule: x.Type, Type: nightly.SnapshotType, Time: x.Time, Pinned: x.Name, Size: added,
		})
	}
	return list, err
}

// Save implements nightly.Shelf. The first run makes the repository.
func (s *repoShelf) Save(ctx context.Context, r nightly.Request) (nightly.Saved, error) {
	var saved nightly.Saved
	if s.damaged != "" {
		saved.Reservations = append(saved.Reservations, s.damaged)
	}
	if err := s.begin(ctx, r.Logf); err != nil {
		return saved, err
	}
	o := backupOptions{from: r.Settings.From, to: s.place, pace: r.Pace}
	o.snapshot = snapshotOptions{
		name: r.Pinned, series: r.Settings.Repository.Series, sign: s.sign, kind: r.Schedule, full: r.Full, every: r.Settings.Repository.FullEvery,
	}
	notes, err := s.e.forNightly(ctx, r, o, s.e.snapshotsOn(s.r), func(src *origin, o backupOptions) error {
		made, err := s.e.snapshot(ctx, src, s.r, o)
		if err != nil {
			return err
		}
		if !made.OfBoot() {
			s.series, saved.Name = made.Series, made.Label()
		}
		saved.Size, saved.Added = saved.Size+made.Used, saved.Added+made.Added
		if live := made.tail.Live; live != nil {
			saved.FrozenMS, saved.Read = max(saved.FrozenMS, live.FrozenMS), saved.Read+live.Read
		}
		if made.increment != nil && made.increment.Full != "" {
			r.Logf("all was read: %s", made.increment.Full)
		}
		return reserved(made.reservations)
	})
	saved.Reservations = append(saved.Reservations, notes...)
	return saved, err
}

// begin makes the repository where there is none.
func (s *repoShelf) begin(ctx context.Context, logf func(string, ...any)) error {
	if s.r != nil {
		return nil
	}
	if _, err := s.e.initRepo(ctx, s.make); err != nil {
		return err
	}
	logf("%s: there was no repository; it was made", shown(s.place))
	var err error
	s.r, err = s.e.openRepo(ctx, s.place)
	return err
}

// Remove implements nightly.Shelf. What belongs to a snapshot goes along, and
// with them what runs that died have left halfway.
func (s *repoShelf) Remove(ctx context.Context, gone []nightly.Snapshot) (int, error) {
	if len(gone) == 0 {
		return 0, nil
	}
	found, err := s.all(ctx)
	if err != nil {
		return 0, err
	}
	byID := map[string]*repo.Snapshot{}
	for _, x := range found {
		byID[x.ID] = x
	}
	for n, g := range gone {
		x, there := byID[g.Name]
		if !there {
			continue // forgotten by another
		}
		if x.Name != "" {
			panic("BUG: this is not to be removed: " + x.Label())
		}
		if err := s.r.Forget(ctx, repo.Whole(found, []*repo.Snapshot{x})...); err != nil {
			return n, err
		}
	}
	if strays := repo.Strays(found, s.r.Grace()); len(strays) > 0 {
		return len(gone), s.r.Forget(ctx, strays...)
	}
	return len(gone), nil
}

// Prune implements nightly.Tended.
func (s *repoShelf) Prune(ctx context.Context) (int64, error) {
	report, err := s.r.Prune(ctx, repo.PruneOptions{})
	if errors.Is(err, repo.ErrPruning) {
		s.e.logf("%v", err)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	s.e.logf("pruned: %d snapshots need %s; %s freed, %s wait for the grace of %v", report.Snapshots, progress.Bytes(report.Kept),
		progress.Bytes(report.Freed), progress.Bytes(report.Waiting), s.r.Grace())
	return report.Freed, nil
}

// Verify implements nightly.Tended.
func (s *repoShelf) Verify(ctx context.Context, part nightly.Percent) (int64, []string, error) {
	found, err := s.all(ctx)
	if err != nil {
		return 0, nil, err
	}
	series := []string{s.series}
	if slices.ContainsFunc(found, func(x *repo.Snapshot) bool { return x.OfBoot() }) {
		series = append(series, repo.BootSeries(s.series))
	}
	read, bad := int64(0), []string(nil)
	for _, one := range series {
		report, err := s.r.Verify(ctx, repo.VerifyOptions{Series: one, Fraction: float64(part) / 100, Meter: s.e.meter})
		if err != nil {
			return 0, nil, err
		}
		read, bad = read+report.Read, append(bad, report.Bad...)
	}
	return read, bad, nil
}
