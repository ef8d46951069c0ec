package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/manifest"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

type convertOptions struct {
	from, to  string
	overwrite bool
	level     int
	noVerify  bool
	image     image.Options
}

func newConvert(e *env) *cobra.Command {
	o := convertOptions{}
	cmd := &cobra.Command{
		Use:   "convert SRC FILE",
		Short: "Make an image of one kind out of one of another",
		Long: `Reads an image of any kind (a file, an http, https, sftp or s3 address, - for
standard input) and writes it as FILE says by its name: .img, .img.gz, .img.zst, or, with the
system's xz, .img.xz.

Of an image that can be read anywhere only the bytes in use are taken; what is
packed is taken whole. Where its size is known only at its end, it is unpacked
beside FILE first, into a file that goes away by itself.

The new image is read back and held against the digest of what went into it,
before it gets its name. FILE may be an sftp or s3 address where nothing must be
unpacked first; there it is read back when it has its name.`,
		Example: `  lifeboat convert pi.img.xz pi.img.zst
  lifeboat convert http://nas/pi.img.gz pi.img
  xz -dc pi.img.xz | lifeboat convert - pi.img.zst`,
		Args: args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.from, o.to = given[0], given[1]
			return runConvert(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.overwrite, "overwrite", false, "replace an image that is there")
	addLevel(f, &o.level)
	f.BoolVar(&o.noVerify, "no-verify", false, "do not read back (exit code 5)")
	f.StringVar(&o.image.SHA256, "sha256", "", "do not finish unless SRC, as it lies there or unpacked, has this SHA-256")
	addMember(cmd, &o.image.Member)
	e.addRepo(cmd)
	e.addDryRun(cmd)
	return cmd
}

// A levelFlag is how hard is packed.
type levelFlag int

var _ pflag.Value = (*levelFlag)(nil)

func (l *levelFlag) String() string { return strconv.Itoa(int(*l)) }
func (l *levelFlag) Type() string   { return "int" }
func (l *levelFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 9 {
		return errors.New("it is 0 to 9")
	}
	*l = levelFlag(n)
	return nil
}

// addLevel gives the flag to a command that packs.
func addLevel(f *pflag.FlagSet, at *int) {
	f.Var((*levelFlag)(at), "level", "how hard to pack, 1 to 9; 0 = as the format's own tool does")
}

func runConvert(ctx context.Context, e *env, o convertOptions) error {
	areas := map[string][]byte{}
	sink, err := e.convertSink(o, areas)
	if err != nil {
		return err
	}
	o.image.Logf, o.image.UsedOnly = e.logf, true
	src, err := e.openOrigin(ctx, o.from, o.image)
	if err != nil {
		return err
	}
	maps.Copy(areas, src.areas)
	for _, note := range src.pairNote() {
		e.logf("%s: %s", src.place, note)
	}
	return errors.Join(e.withLost(src, e.convert(ctx, src, sink, o)), src.Close())
}

// convertSink refuses early what cannot be written. The boot areas may come until
// it is started.
func (e *env) convertSink(o convertOptions, areas map[string][]byte) (clone.Sink, error) {
	if sameFile(o.from, o.to) || o.from == stdinPlace && e.isStdin(o.to) {
		return nil, &clone.Refusal{Err: fmt.Errorf("%s is what is read from", o.to)}
	}
	opts := image.SinkOptions{Overwrite: o.overwrite, Level: o.level, Verify: !o.noVerify, Meter: e.meter, Logf: e.logf, XZ: e.packXZ, Areas: areas}
	if extOf(o.to) == ".xz" && !e.have("xz") {
		return nil, &clone.Refusal{
			Err:  fmt.Errorf("%s: packing as xz is done by the program xz, which is not installed here", o.to),
			Hint: "install xz-utils, or take a name that ends in .img.zst",
		}
	}
	sink, err := e.createImage(o.to, opts)
	return sink, isThere(err)
}

func extOf(path string) string {
	if isAddress(path) {
		path, _, _ = strings.Cut(path, "?")
	}
	return strings.ToLower(filepath.Ext(path))
}

// A conversion is the plan: what is taken of the source, and in which way.
type conversion struct {
	From   string         `json:"from"`
	To     string         `json:"to"`
	Head   *manifest.Head `json:"head"`
	Size   int64          `json:"size"`   // of the disk; -1 = not known before the end
	Whole  bool           `json:"whole"`  // also what is not in use
	Unpack bool           `json:"unpack"` // beside the new image first
}

// planConversion looks at the source's powers. An image that is to be written
// plain gets a map of what is in use, for which it must be read anywhere.
func planConversion(src *origin, o convertOptions) conversion {
	c := conversion{From: src.place, To: shown(o.to), Head: src.head, Size: src.head.Size}
	if _, anywhere := src.files(); anywhere {
		return c
	}
	packed, ok := src.Source.(*image.Packed)
	known := false
	if ok {
		_, known = packed.Used()
	}
	if !ok || packed.Size() < 0 {
		c.Size = -1
	}
	c.Whole = !known
	c.Unpack = c.Size < 0 || extOf(o.to) == ".img" && !known
	return c
}

// In is the plan as a person reads it.
func (c conversion) In(l speech.Language) string {
	words := []speech.Text{speech.New("not known before its end"), speech.New("what is in use")}
	if c.Size >= 0 {
		words[0] = speech.Plain(progress.Bytes(c.Size))
	}
	switch used := c.Head.Used(); {
	case c.Whole:
		words[1] = speech.New("all of it")
	case used >= 0:
		words[1] = speech.New("%s in use", progress.Bytes(used))
	}
	if c.Unpack {
		words = append(words, speech.New("unpacked beside it first"))
	}
	return fmt.Sprintf("%s → %s: %s", c.From, c.To, speech.Join(words, ", ").In(l))
}

func (e *env) convert(ctx context.Context, src *origin, sink clone.Sink, o convertOptions) error {
	plan := planConversion(src, o)
	if e.json {
		if err := json.NewEncoder(e.stdout).Encode(map[string]any{"message": "plan", "plan": plan}); err != nil || e.dry {
			return err
		}
	}
	if e.dry {
		_, err := fmt.Fprintln(e.stdout, plan.In(e.language))
		return err
	}
	if plan.Unpack {
		if err := noSpool(o.to, "the size of what is to be packed is not known before its end"); err != nil {
			return err
		}
	}
	e.showProgress()
	start := e.clock()
	from, head := clone.Source(src.Source), src.head
	if plan.Unpack {
		unpacked, err := e.unpackBeside(ctx, src, plan)
		if err != nil {
			return err
		}
		defer unpacked.Close()
		from, head = unpacked, unpacked.Head()
		head.Unreadable = src.head.Unreadable
	}
	whole := *head
	whole.Areas = src.head.Areas
	tail, err := clone.Save(ctx, from, &whole, sink, e.meter)
	if err != nil {
		return isThere(fmt.Errorf("%s → %s: %w", plan.From, plan.To, err))
	}
	e.show.stop()
	return e.tellConverted(plan, head, e.clock().Sub(start).Seconds(), !o.noVerify, reservations(o.noVerify, head, tail))
}

// unpackBeside makes the source one that can be read anywhere.
func (e *env) unpackBeside(ctx context.Context, src *origin, plan conversion) (*clone.Blocks, error) {
	e.meter.Phase("unpack", plan.Size)
	file, err := image.Unpack(ctx, plan.To, src.Open, e.meter)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plan.From, err)
	}
	blocks, err := clone.NewWhole(file, file.Size, imageSector, file.Data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", plan.From, err), file.Close())
	}
	return blocks, nil
}

func (e *env) tellConverted(plan conversion, head *manifest.Head, seconds float64, verified bool, but error) error {
	if e.json {
		err := json.NewEncoder(e.stdout).Encode(map[string]any{
			"message": "done", "to": plan.To, "size": head.Size, "seconds": seconds, "verified": verified, "unreadable": head.Unreadable,
		})
		return errors.Join(err, but)
	}
	fmt.Fprintf(e.stdout, "%s: %s of %s in %.1f s, %s\n", plan.To, progress.Bytes(head.Size), plan.From, seconds, verifiedWord(verified))
	return e.tellReservations(but)
}
