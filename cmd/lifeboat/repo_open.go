package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
	"filippo.io/age"
	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/repo"
	"lifeboat/clone/store"
	"lifeboat/internal/speech"
)

// repoFlags say how a repository is opened.
type repoFlags struct {
	identity   string
	passphrase string
	signedBy   []string
}

// addRepo gives the flags to a command that may meet a repository.
func (e *env) addRepo(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&e.repo.identity, "identity", "", "encrypted repository: the `FILE` with age's identity")
	f.StringVar(&e.repo.passphrase, "passphrase-file", "", "encrypted repository: the `FILE` whose first line is the passphrase")
	f.StringArrayVar(&e.repo.signedBy, "signed-by", nil, "take only snapshots that are signed by this minisign `KEY`, or its file")
}

// splitSnapshot takes REPO@NAME apart; false for what is not of that form. Of a
// path it is the first @ behind a repository, of an address the first one behind
// its host.
func splitSnapshot(place string) (at, name string, ok bool) {
	host := 0
	if i := strings.Index(place, "://"); i >= 0 {
		j := strings.IndexByte(place[i+3:], '/')
		if j < 0 {
			return "", "", false
		}
		host = i + 3 + j
	}
	for i := host; i < len(place); i++ {
		if place[i] == '@' && (host > 0 || isRepoFolder(place[:i])) {
			return place[:i], place[i+1:], true
		}
	}
	return "", "", false
}

const repoFile = "repository.json"

// isRepoFolder tells whether a folder of this machine is a repository.
func isRepoFolder(path string) bool {
	st, err := os.Stat(filepath.Join(path, repoFile))
	return err == nil && st.Mode().IsRegular()
}

// isRepo tells whether a place is a repository: a folder that is one, or an
// address below which one lies.
func (e *env) isRepo(ctx context.Context, place string) bool {
	if !strings.Contains(place, "://") {
		return isRepoFolder(place)
	}
	s, err := e.repoStore(place)
	if err != nil {
		return false
	}
	_, err = store.Stat(ctx, s, repoFile)
	return err == nil
}

// repoStore is the store below a place.
func (e *env) repoStore(place string) (store.Store, error) {
	s, name, err := store.Open(asFolder(place), e.places)
	if err == nil && name != "" {
		err = fmt.Errorf("%s names a file, not a folder", shown(place))
	}
	return s, err
}

// openRepo opens a repository. The caller closes it.
func (e *env) openRepo(ctx context.Context, place string) (*repo.Repo, error) {
	o := repo.Options{Logf: e.logf, Clock: e.clock, Random: e.random}
	var err error
	if o.Keys, err = e.repo.keys(); err != nil {
		return nil, err
	}
	for _, arg := range e.repo.signedBy {
		text, err := publicKey(arg)
		if err != nil {
			return nil, err
		}
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
		o.Trust = append(o.Trust, key)
	}
	s, err := e.repoStore(place)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(ctx, s, o)
	return r, repoRefusal(place, err)
}

// repoRefusal adds what can be done about a no of package repo.
func repoRefusal(place string, err error) error {
	hint := ""
	var many *repo.AmbiguousError
	var busy *repo.BusyError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, repo.ErrNoRepository):
		hint = "lifeboat repo init makes it"
	case errors.Is(err, repo.ErrKey):
		hint = "give --identity=FILE or --passphrase-file=FILE"
	case errors.Is(err, repo.ErrNoSnapshot), errors.As(err, &many):
		hint = "lifeboat snapshots " + shown(place) + " lists them"
	case errors.As(err, &busy):
		hint = "leave --now away: what they do not need is removed when the grace is over"
	case errors.Is(err, repo.ErrExists), errors.Is(err, repo.ErrPruning):
	default:
		return fmt.Errorf("%s: %w", shown(place), err)
	}
	return &clone.Refusal{Err: fmt.Errorf("%s: %w", shown(place), err), Hint: hint}
}

func (f repoFlags) keys() (repo.Keys, error) {
	var k repo.Keys
	if f.identity != "" {
		file, err := os.Open(f.identity)
		if err != nil {
			return k, err
		}
		defer file.Close()
		if k.Age, err = age.ParseIdentities(file); err != nil {
			return k, fmt.Errorf("%s: %w", f.identity, err)
		}
	}
	var err error
	k.Passphrase, err = firstLine(f.passphrase)
	return k, err
}

// firstLine is that of a file; "" where none is named.
func firstLine(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", fmt.Errorf("%s: its first line is empty: %w", path, fs.ErrInvalid)
	}
	return line, nil
}

// A snapshotSource closes its repository too.
type snapshotSource struct {
	*repo.Source
	r     *repo.Repo
	local bool // the repository lies on this machine
}

func (s snapshotSource) Close() error { return errors.Join(s.Source.Close(), s.r.Close()) }

// openSnapshot opens REPO@NAME as a source.
func (e *env) openSnapshot(ctx context.Context, at, name string) (*origin, error) {
	r, err := e.openRepo(ctx, at)
	if err != nil {
		return nil, err
	}
	s, err := r.Find(ctx, name)
	if err != nil {
		return nil, errors.Join(repoRefusal(at, err), r.Close())
	}
	src, err := r.Source(ctx, s)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", shown(at), err), r.Close())
	}
	local := !strings.Contains(at, "://")
	o := &origin{Source: snapshotSource{src, r, local}, place: shown(at) + "@" + s.Label(), areas: src.Areas(), pair: s.Pair}
	if _, err := r.Other(ctx, s); err != nil {
		o.lost = []speech.Text{halfWords(s, err)}
	} else if s.Pair != nil {
		o.other = at + "@" + s.Pair.File
	}
	return o, nil
}

// seed lets a snapshot that lies on a server be filled up from what the target
// holds already. The caller closes what it gives; nil is nothing.
func (e *env) seed(src *origin, f disk.Facts) (io.Closer, error) {
	s, ok := src.Source.(snapshotSource)
	if !ok || s.local || f.Holds == "blank" {
		return nil, nil
	}
	old, err := disk.OpenSource(e.sys, f.Disk.Path)
	if err != nil {
		return nil, err
	}
	s.Seed(old)
	return old, nil
}
