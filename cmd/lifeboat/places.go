package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"lifeboat/clone"
	"lifeboat/clone/image"
	"lifeboat/clone/store"
)

// isAddress tells the address of a server from a path.
func isAddress(place string) bool { return strings.Contains(place, "://") }

// asFolder is the place of what lies below a place.
func asFolder(place string) string {
	query := ""
	if i := strings.IndexByte(place, '?'); i >= 0 && isAddress(place) {
		place, query = place[:i], place[i:]
	}
	return strings.TrimRight(place, "/") + "/" + query
}

// remembering asks each question once, for one command may log in several times.
func remembering(ask func(context.Context, string) (string, error)) func(context.Context, string) (string, error) {
	var mu sync.Mutex
	known := map[string]string{}
	return func(ctx context.Context, question string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if answer, ok := known[question]; ok {
			return answer, nil
		}
		answer, err := ask(ctx, question)
		if err == nil {
			known[question] = answer
		}
		return answer, err
	}
}

// secret asks the person at the terminal for what nobody else should read.
func (e *env) secret(ctx context.Context, question string) (string, error) {
	file, ok := e.stdin.(*os.File)
	if !ok || !e.terminal {
		return "", errors.New("nobody is there to say it")
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(e.stderr, "%s: ", question)
	type reply struct {
		text []byte
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		replies <- reply{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	case r := <-replies:
		fmt.Fprintln(e.stderr)
		return string(r.text), r.err
	}
}

// createImage begins an image at a path, or, packed, at the address of a store.
func (e *env) createImage(to string, o image.SinkOptions) (clone.Sink, error) {
	if !isAddress(to) {
		return image.Create(to, o)
	}
	s, name, err := store.Open(to, e.places)
	if err != nil {
		return nil, err
	}
	if _, readOnly := s.(*store.HTTP); readOnly || name == "" {
		return nil, &clone.Refusal{
			Err:  fmt.Errorf("%s is no place for an image", shown(to)),
			Hint: "an image goes to a path, or as .img.zst or .img.gz to sftp:// or s3://; a web server is read only",
		}
	}
	return image.CreateIn(s, name, shown(to), o)
}

// noSpool refuses what would need a copy of the disk beside the image, where
// beside it is no room of ours.
func noSpool(to, why string) error {
	if !isAddress(to) {
		return nil
	}
	return &clone.Refusal{
		Err:  fmt.Errorf("%s is the address of a server, and %s", shown(to), why),
		Hint: "save it to a path on another disk, or to a mounted folder, and bring it there afterwards",
	}
}
