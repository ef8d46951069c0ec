package uinit

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/pgzip"
	"mvdan.cc/sh/v3/interp"
)

// u-root's gzip reads the process's standard input instead of the pipe's, and
// its tar knows neither links nor owners (u-root v0.16.0, pkg/core): these two
// are ours.

// gzipArgs is what a call of gzip wants.
type gzipArgs struct {
	unpack, stdout, keep bool
	level                int
	files                []string
}

func parseGzip(args []string, unpack bool) (gzipArgs, error) {
	g := gzipArgs{unpack: unpack, level: pgzip.DefaultCompression}
	for _, a := range args {
		if a == "-" || !strings.HasPrefix(a, "-") {
			g.files = append(g.files, a)
			continue
		}
		for _, c := range a[1:] {
			switch {
			case c == 'd':
				g.unpack = true
			case c == 'c':
				g.stdout = true
			case c == 'k':
				g.keep = true
			case c == 'f':
			case c >= '1' && c <= '9':
				g.level = int(c - '0')
			default:
				return g, fmt.Errorf("option -%c is not known", c)
			}
		}
	}
	return g, nil
}

func runGzip(unpack bool) func(context.Context, interp.HandlerContext, []string) error {
	return func(ctx context.Context, hc interp.HandlerContext, args []string) error {
		g, err := parseGzip(args, unpack)
		if err != nil {
			return err
		}
		if len(g.files) == 0 {
			g.files = []string{"-"}
		}
		for _, f := range g.files {
			if err := g.one(ctx, hc, f); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
		}
		return nil
	}
}

// one packs or unpacks a file into another beside it, which takes its place.
func (g gzipArgs) one(ctx context.Context, hc interp.HandlerContext, name string) error {
	if name == "-" {
		return g.stream(hc.Stdout, &reader{ctx, stdin(hc)})
	}
	path := resolve(hc, name)
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	if g.stdout {
		return g.stream(hc.Stdout, &reader{ctx, in})
	}
	to, isGz := strings.CutSuffix(path, ".gz")
	if g.unpack && !isGz {
		return errors.New("its name does not end in .gz")
	}
	if !g.unpack {
		to = path + ".gz"
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = g.stream(out, &reader{ctx, in})
	if info, serr := in.Stat(); err == nil && serr == nil {
		err = out.Chmod(info.Mode().Perm())
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	if g.keep {
		return nil
	}
	return os.Remove(path)
}

func (g gzipArgs) stream(w io.Writer, r io.Reader) error {
	if g.unpack {
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, z)
		return err
	}
	z, err := pgzip.NewWriterLevel(w, g.level)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, r)
	return errors.Join(err, z.Close())
}

// reader is an io.Reader that ends with a context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
