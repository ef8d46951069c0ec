package repo_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lifeboat/clone/extent"
	"lifeboat/clone/image"
	"lifeboat/clone/store"
	"lifeboat/internal/atomicfile"
)

// Images that lie beside the repository, on the same disk: what workers write, and
// what a judge wants of them.

// image writes an image; one that is there is replaced.
func (w *worker) image(ctx context.Context, path string, rnd *rand.Rand) error {
	c, name := workContent(rnd), filepath.Base(path)
	sum := fmt.Sprintf("%x", sha256.Sum256(c.visible()))
	k, err := image.Create(path, image.SinkOptions{Overwrite: true, Verify: rnd.IntN(2) == 0, Sum: true, Workers: 1})
	if err != nil {
		return err
	}
	w.say("imaging %s %s", name, sum)
	w.say("step put-image %s", name)
	err = k.Start(ctx, c.head())
	for _, rec := range c.records() {
		if err == nil {
			err = k.Put(ctx, rec)
		}
	}
	if err == nil {
		w.say("step publish-image %s", name)
		err = k.Commit(ctx, c.tail())
	}
	if err != nil {
		return errors.Join(err, k.Abort(context.WithoutCancel(ctx)))
	}
	w.say("imaged %s %s", name, sum)
	return nil
}

// drop removes an image as a schedule does: it before what lies beside it.
func (w *worker) drop(path string) error {
	w.say("drops %s", filepath.Base(path))
	w.say("step drop-image %s", filepath.Base(path))
	for _, ext := range []string{"", ".json", ".bmap"} {
		if err := atomicfile.Remove(path + ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// images are what a disk has promised, by name: the sums of what they hold.
type images struct {
	whole map[string]string   // those that must be there
	any   map[string][]string // all that were ever begun
}

func newImages() images { return images{map[string]string{}, map[string][]string{}} }

func (i images) hear(verb, name, sum string) {
	switch verb {
	case "imaging":
		i.any[name] = append(i.any[name], sum)
	case "imaged":
		i.whole[name] = sum
	case "drops":
		delete(i.whole, name)
	}
}

// judgeImages holds that images which were acknowledged are there, each as it was
// or as it was about to be, that no other one passes for whole, and that the next
// ones can be written and leave nothing else.
func (l *ledger) judgeImages(t *testing.T, dir string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(l.any)) {
		got, err := sumOfImage(t.Context(), dir, name)
		_, noHead := os.Stat(filepath.Join(dir, name+".json"))
		want, acked := l.whole[name]
		newest := l.any[name][len(l.any[name])-1]
		switch {
		case acked && (err != nil || got != want && got != newest):
			t.Errorf("image %s was acknowledged, and is lost: %s, %v; want %s", name, got, err, want)
		case acked && newest == want && noHead != nil:
			t.Errorf("image %s has lost its head: %v", name, noHead)
		case err == nil && noHead == nil && !slices.Contains(l.any[name], got):
			t.Errorf("image %s is damaged, and nobody notices", name)
		}
	}
	w := &worker{}
	for _, name := range slices.Sorted(maps.Keys(l.any)) {
		must(t, w.image(t.Context(), filepath.Join(dir, name), rand.New(rand.NewPCG(1, 1))))
		if _, err := sumOfImage(t.Context(), dir, name); err != nil {
			t.Errorf("image %s, written again: %v", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		name := strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".json"), ".bmap")
		reclaimed := strings.HasPrefix(name, "FSCK") && strings.HasSuffix(name, ".REC") // fsck.vfat's own
		if _, known := l.any[name]; !known && !e.IsDir() && !reclaimed {
			t.Errorf("nobody needs %s, and it is still there", e.Name())
		}
	}
}

// sumOfImage reads an image to its end, as verify does.
func sumOfImage(ctx context.Context, dir, name string) (string, error) {
	src, err := image.Open(ctx, store.NewFolder(dir), name, image.Options{})
	if err != nil {
		return "", err
	}
	defer src.Close()
	size := src.Head().Size
	p, err := src.Open(ctx, extent.Of(extent.Extent{Off: 0, Len: size}))
	if err != nil {
		return "", err
	}
	defer p.Close()
	b := make([]byte, size)
	for {
		r, err := p.Next(ctx)
		if err == io.EOF {
			return fmt.Sprintf("%x", sha256.Sum256(b)), nil
		}
		if err != nil {
			return "", err
		}
		copy(b[r.Off:], r.Data)
	}
}
