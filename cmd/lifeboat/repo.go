package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/clone/repo"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/progress"
)

func newRepo(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repo",
		Short: "Make and look after repositories, which hold many snapshots in little room",
		Long: `A repository is a folder, or a place on a server, that holds snapshots of disks;
what they have in common is stored once (docs/REPOSITORY.md).

  lifeboat repo init /mnt/nas/pis
  sudo lifeboat backup / /mnt/nas/pis
  lifeboat snapshots /mnt/nas/pis
  sudo lifeboat restore /mnt/nas/pis@latest /dev/sdb`,
	}
	cmd.AddCommand(newRepoInit(e), newRepoVerify(e), newRepoForget(e), newRepoPrune(e))
	return cmd
}

// defaultChunk is the size of a new repository's chunks.
const defaultChunk = "512K"

type repoInitOptions struct {
	place      string
	chunk      string
	grace      time.Duration
	recipients []string
	passphrase string
	identity   string // of an encrypted one whose repository.json was lost
	beside     bool   // it may lie beside other things
}

func newRepoInit(e *env) *cobra.Command {
	o := repoInitOptions{}
	cmd := &cobra.Command{
		Use:   "init REPO",
		Short: "Make a repository",
		Long: `Makes a repository in a folder (which is made where it is not there) or at an
address. A folder that is made can be read by its owner only: it will hold
password hashes and keys.

Where a repository lies that has lost its repository.json, that is made again as
its snapshots have it; an encrypted one asks for --identity or --passphrase-file.

With --recipient or --passphrase-file everything in it is encrypted. casync, which
reads other repositories, cannot read such a one.`,
		Example: `  lifeboat repo init /mnt/nas/pis
  lifeboat repo init --recipient=age1… /mnt/usb/pis`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.place = given[0]
			return runRepoInit(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.chunk, "chunk", defaultChunk, "size of a chunk: 256K, 512K, 1M, 2M or 4M; docs/REPOSITORY.md compares them")
	f.DurationVar(&o.grace, "grace", repo.DefaultGrace, "how long prune waits before it removes what nobody needs")
	f.StringArrayVar(&o.recipients, "recipient", nil, "encrypt for this `RECIPIENT` of age (age1…)")
	f.StringVar(&o.identity, "identity", "", "open the encrypted repository whose repository.json was lost with age's identity in `FILE`")
	f.StringVar(&o.passphrase, "passphrase-file", "", "encrypt by the passphrase in the first line of `FILE`")
	return cmd
}

func runRepoInit(ctx context.Context, e *env, o repoInitOptions) error {
	if o.grace == 0 {
		return usage("--grace is at least an hour: what a backup that is under way counts on must not be removed")
	}
	made, err := e.initRepo(ctx, o)
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{
			"message": "done", "repository": shown(o.place), "chunk": made.Chunk, "encrypted": made.Encrypted, "snapshots": made.Snapshots,
		})
	}
	kind := "not encrypted"
	if made.Encrypted {
		kind = "encrypted: without the identity or passphrase nobody can read it, you neither"
	}
	if made.Snapshots > 0 {
		kind += fmt.Sprintf("; %d snapshots were there, and are its own again", made.Snapshots)
	}
	_, err = fmt.Fprintf(e.stdout, "%s: a repository, in chunks of %s, %s\n", shown(o.place), progress.Bytes(made.Chunk), kind)
	return err
}

// initRepo makes a repository, or what was lost of one.
func (e *env) initRepo(ctx context.Context, o repoInitOptions) (made repo.Made, err error) {
	c := repo.InitOptions{Grace: o.grace}
	if c.Chunk, err = chunkSize(o.chunk); err != nil {
		return made, err
	}
	if len(o.recipients) > 0 {
		if c.Encrypt.Age, err = age.ParseRecipients(strings.NewReader(strings.Join(o.recipients, "\n"))); err != nil {
			return made, usage("--recipient: %v", err)
		}
	}
	keys, err := repoFlags{identity: o.identity, passphrase: o.passphrase}.keys()
	if err != nil {
		return made, err
	}
	c.Encrypt.Passphrase = keys.Passphrase
	if !isAddress(o.place) {
		if err := o.makeFolder(); err != nil {
			return made, err
		}
	}
	s, err := e.repoStore(o.place)
	if err != nil {
		return made, err
	}
	made, err = repo.Init(ctx, s, c, repo.Options{Keys: keys, Random: e.random, Clock: e.clock})
	return made, repoRefusal(o.place, err)
}

// folderPerm keeps a disk's secrets with their owner.
const folderPerm = 0o700

// makeFolder makes the folder, and refuses one that holds something else.
func (o repoInitOptions) makeFolder() error {
	entries, err := os.ReadDir(o.place)
	if errors.Is(err, os.ErrNotExist) {
		return atomicfile.MkdirAll(o.place, folderPerm)
	}
	if err == nil && len(entries) > 0 && !o.beside && !isRepoFolder(o.place) && !holdsSnapshots(o.place) {
		return &clone.Refusal{Err: fmt.Errorf("%s holds other things already", o.place), Hint: "name a new folder, or an empty one"}
	}
	return err
}

// holdsSnapshots tells whether a folder was a repository.
func holdsSnapshots(place string) bool {
	found, err := fs.Glob(os.DirFS(place), "snapshots/*/*.caibx")
	return err == nil && len(found) > 0
}

// chunkSize reads 256K … 4M.
func chunkSize(text string) (int64, error) {
	sizes := map[string]int64{"256K": 256 << 10, "512K": 512 << 10, "1M": 1 << 20, "2M": 2 << 20, "4M": 4 << 20}
	n, ok := sizes[strings.ToUpper(text)]
	if !ok {
		return 0, usage("--chunk is 256K, 512K, 1M, 2M or 4M, not %q", text)
	}
	return n, nil
}
