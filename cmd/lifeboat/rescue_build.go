package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"lifeboat/boards"
	"lifeboat/clone"
	"lifeboat/initramfs"
	"lifeboat/internal/atomicfile"
	"lifeboat/internal/progress"
)

type buildOptions struct {
	out          string // the image
	netboot      string // the folder for TFTP
	from         []string
	program      string
	boards       []string
	job          string
	images       []string
	trust        []string
	trustNetwork bool
	jobURL       string
	args         string
}

func newRescueBuild(e *env) *cobra.Command {
	o := buildOptions{}
	cmd := &cobra.Command{
		Use:   "build [RESCUE.img]",
		Short: "Make a flashable rescue medium, and a folder for network boot",
		Long: `Makes a rescue medium out of systems that exist: no compiler is needed.

Each --from is searched in turn for kernel, modules, firmware and tools; the
first one that has a file wins:

  --from /              the running system
  --from DIR            a folder of Debian packages (*.deb), or one package
  --from card.img.zst   a backup of a board, or its card in a reader

For all Raspberry Pis up to 4 these packages of Debian will do (with arm64
enabled by dpkg --add-architecture arm64):

  apt-get download linux-image-arm64-image raspi-firmware e2fsprogs:arm64 \
    libext2fs2:arm64 libcom-err2:arm64 libss2:arm64 libblkid1:arm64 \
    libuuid1:arm64 libc6:arm64 dosfstools:arm64

where linux-image-arm64-image is the package that linux-image-arm64 depends on.
A Raspberry Pi 5 needs its own kernel: from its running system, or a backup.

--dry-run tells for each board whether the sources can boot it, and why not.`,
		Example: `  sudo lifeboat rescue build --from / rescue.img
  lifeboat rescue build --from debs/ --job job.toml --image card.img.zst rescue.img
  lifeboat rescue build --from debs/ --trust fleet.pub --netboot /srv/tftp`,
		Args: args(0, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if len(given) > 0 {
				o.out = given[0]
			}
			return runRescueBuild(cmd.Context(), e, o)
		},
	}
	o.addFlags(e, cmd)
	return cmd
}

func (o *buildOptions) addFlags(e *env, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.from, "from", []string{"/"}, "where kernel, firmware and tools come from; may be given again")
	f.StringVar(&o.netboot, "netboot", "", "make this folder, to be served by TFTP")
	f.StringVar(&o.program, "program", "", "the lifeboat binary for the boards; default: this one")
	f.StringSliceVar(&o.boards, "boards", nil, "only these boards (names as --dry-run tells them)")
	f.StringVar(&o.job, "job", "", "a job to put on the medium: done at boot, without a question")
	f.StringArrayVar(&o.images, "image", nil, "an image to put on the medium, beside the job; may be given again")
	f.StringArrayVar(&o.trust, "trust", nil, "a minisign public key (or its file) whose jobs from the network are obeyed")
	f.BoolVar(&o.trustNetwork, "trust-network", false, "obey every job from the network, signed or not: for a bench")
	f.StringVar(&o.jobURL, "job-url", "", "where to look for a job when the DHCP server names none")
	f.StringVar(&o.args, "args", "", "more words for the kernel's command line")
	e.addDryRun(cmd)
}

func runRescueBuild(ctx context.Context, e *env, o buildOptions) error {
	if o.out == "" && o.netboot == "" && !e.dry {
		return usage("give the name of the image to make, or --netboot DIR")
	}
	sources, done, err := e.openSystems(ctx, o.from)
	if err != nil {
		return errors.Join(err, done())
	}
	return errors.Join(e.build(ctx, sources, o), done())
}

func (e *env) build(ctx context.Context, sources []initramfs.Source, o buildOptions) error {
	program, err := openProgram(o.program)
	if err != nil {
		return err
	}
	defer program.Close()
	if err := forBoards(program); err != nil {
		return err
	}
	if e.dry {
		return e.tellSupport(ctx, sources, program)
	}
	m, err := e.mediumOptions(sources, program, o)
	if err != nil {
		return err
	}
	if o.netboot != "" {
		report, err := initramfs.Netboot(ctx, o.netboot, m)
		if err != nil {
			return err
		}
		e.tellMedium(o.netboot, report)
	}
	if o.out == "" {
		return nil
	}
	report, err := writeMedium(ctx, o.out, m)
	if err != nil {
		return err
	}
	e.tellMedium(o.out, report)
	return nil
}

func (e *env) mediumOptions(sources []initramfs.Source, program *os.File, o buildOptions) (initramfs.MediumOptions, error) {
	var m initramfs.MediumOptions
	info, err := newInfo(o)
	if err != nil {
		return m, err
	}
	size, err := program.Stat()
	if err != nil {
		return m, err
	}
	m.Options = initramfs.Options{
		Sources: sources,
		Program: io.NewSectionReader(program, 0, size.Size()),
		Info:    info,
		Logf:    e.logf,
	}
	m.Boards, m.Args = o.boards, o.args
	m.Files, err = stickFiles(info, o)
	return m, err
}

// newInfo is what the rescue system will know of itself.
func newInfo(o buildOptions) (initramfs.Info, error) {
	var id [8]byte
	rand.Read(id[:])
	info := initramfs.Info{
		ID: hex.EncodeToString(id[:]), Date: time.Now().UTC().Format(time.RFC3339), Version: thisBuild().Version,
		TrustNetwork: o.trustNetwork, JobURL: o.jobURL,
	}
	for _, key := range o.trust {
		text, err := publicKey(key)
		if err != nil {
			return info, err
		}
		info.Keys = append(info.Keys, text)
	}
	return info, nil
}

// stickFiles are what lies in the folder lifeboat of the medium: who it belongs
// to, the job with its signature, the images.
func stickFiles(info initramfs.Info, o buildOptions) (fs.FS, error) {
	mark, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	files := pile{filepath.Base(stickInfo): bytesFile(mark)}
	paths := o.images
	if o.job != "" {
		if err := checkJob(o.job); err != nil {
			return nil, err
		}
		files[filepath.Base(stickJob)] = diskFile(o.job)
	}
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		files[filepath.Base(path)] = diskFile(path)
		if head := path + ".json"; exists(head) {
			files[filepath.Base(head)] = diskFile(head)
		}
	}
	return files, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeMedium writes the image under a temporary name, until it is whole.
func writeMedium(ctx context.Context, path string, m initramfs.MediumOptions) (*initramfs.MediumReport, error) {
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Cleanup()
	report, err := initramfs.Medium(ctx, f, m)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(report.Size); err != nil {
		return nil, err
	}
	return report, f.Commit()
}

func (e *env) tellMedium(name string, r *initramfs.MediumReport) {
	if e.json {
		json.NewEncoder(e.stdout).Encode(map[string]any{"message": "done", "medium": name, "report": r})
		return
	}
	fmt.Fprintf(e.stdout, "%s: %s, rescue system of %s\n", name, progress.Bytes(r.Size), progress.Bytes(r.Packed))
	for _, b := range r.Boards {
		fmt.Fprintf(e.stdout, "  boots %s\n", b)
	}
	for _, l := range r.Loaders {
		fmt.Fprintf(e.stdout, "  %s\n", l)
	}
}

func (e *env) tellSupport(ctx context.Context, sources []initramfs.Source, program *os.File) error {
	machine, err := machineOf(program)
	if err != nil {
		return err
	}
	all, err := boards.All()
	if err != nil {
		return err
	}
	list, err := initramfs.Plan(ctx, sources, all, machine)
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"message": "plan", "boards": list})
	}
	for _, s := range list {
		if s.OK {
			fmt.Fprintf(e.stdout, "yes  %-24s %s, kernel %s\n", s.Board.Name, s.Board.Title, s.Kernel)
		} else {
			fmt.Fprintf(e.stdout, "no   %-24s %s: %s\n", s.Board.Name, s.Board.Title, s.Why)
		}
	}
	return nil
}

func newRescueWrite(e *env) *cobra.Command {
	o := restoreOptions{grow: "none", ids: string(clone.KeepIDs)}
	cmd := &cobra.Command{
		Use:   "write RESCUE.img DISK",
		Short: "Write a rescue medium to a stick or card, and verify it",
		Args:  args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runRestore(cmd.Context(), e, o)
		},
	}
	cmd.Flags().StringVar(&o.yes, "yes", "", "agree, by the `WORD` that the plan shows")
	e.addDryRun(cmd)
	return cmd
}
