package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"
)

const (
	extRename = "posix-rename@openssh.com" // OpenSSH 9.2, PROTOCOL, 4.3: takes the place of a file that is there
	extFsync  = "fsync@openssh.com"        // the same, 4.6

	// putPiece is what is in memory of a file that is put: whatever is not larger,
	// as a chunk of a repository, begins anew when a connection breaks.
	putPiece  = 4 << 20
	putTries  = 6
	syncLimit = 10 * time.Minute // a slow disk may have gigabytes to write then
)

// partName is a name for a file in the making.
func partName(name string) string {
	return fmt.Sprintf(".%s.%016x.part", name, rand.Uint64())
}

// create makes a new file, and its folders where they are not there.
func create(c *sftp.Client, at string) (*sftp.File, error) {
	const how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	f, err := c.OpenFile(at, how)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := c.MkdirAll(path.Dir(at)); err != nil {
		return nil, err
	}
	return c.OpenFile(at, how)
}

// Put implements Store: under a name that begins with a dot, synced if the
// server can, renamed. A connection that breaks is made again, and the file
// continued where the server has all that it had confirmed.
func (s *SFTP) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	at, err := s.path(name)
	if err != nil {
		return err
	}
	p := &sftpPut{s: s, name: name, at: at, part: path.Join(path.Dir(at), partName(path.Base(at)))}
	err = p.fill(ctx, size, &announced{r: &cancelled{ctx, io.NopCloser(r)}, size: size, url: s.url(name)})
	if err == nil {
		err = p.retry(ctx, p.publish)
	}
	if err != nil {
		p.remove(ctx)
		return fmt.Errorf("store %w", err)
	}
	return nil
}

// An sftpPut is a file in the making.
type sftpPut struct {
	// config
	s    *SFTP
	name string
	at   string // on the server
	part string // until it is whole

	// state
	link    *sshLink
	file    *sftp.File
	off     int64     // that the server has confirmed
	time    time.Time // of the file, by the server
	begun   bool      // something may lie there
	renamed bool      // the last step was begun
}

// fill brings the bytes over.
func (p *sftpPut) fill(ctx context.Context, size int64, r io.Reader) error {
	want := int64(putPiece)
	if size >= 0 {
		want = min(want, size+1) // one more, to see its end
	}
	for {
		// Not used again after a write: one that was given up may still read it.
		buf := make([]byte, want)
		n, err := io.ReadFull(r, buf)
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !ended {
			return err
		}
		if err := p.retry(ctx, func(ctx context.Context) error { return p.write(ctx, buf[:n]) }); err != nil {
			return err
		}
		p.off += int64(n)
		if ended {
			return nil
		}
	}
}

// retry does a step again on a new connection when the one it had breaks.
func (p *sftpPut) retry(ctx context.Context, step func(context.Context) error) error {
	wait := time.Second / 4
	for try := 1; ; try++ {
		err := p.reopen(ctx)
		if err == nil {
			err = step(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", p.s.url(p.name), ctx.Err())
		}
		broken := p.link == nil || p.link.lost(err)
		if !broken || final(err) || try == putTries {
			return p.full(ctx, p.s.explain(p.link, p.name, err))
		}
		p.drop()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		wait = min(2*wait, maxBackoff)
	}
}

func (p *sftpPut) drop() {
	if p.link != nil {
		p.link.close()
		<-p.link.over
	}
	p.link, p.file = nil, nil
}

// reopen connects, and opens the file where its bytes end.
func (p *sftpPut) reopen(ctx context.Context) error {
	if p.link != nil && !p.link.dead() && p.file != nil {
		return nil
	}
	p.link, p.file = nil, nil
	l, err := p.s.connected(ctx)
	if err != nil {
		return err
	}
	p.link = l
	if p.renamed {
		return nil
	}
	p.begun = true
	p.file, err = call(ctx, l, p.s.o.Patience, func(c *sftp.Client) (*sftp.File, error) {
		if p.off == 0 {
			return create(c, p.part)
		}
		st, err := c.Stat(p.part)
		if err == nil && st.Size() < p.off {
			// The server was down, not only the line: it has lost what was not synced.
			err = &refusal{fmt.Errorf("the server has only %d of %d bytes that it had taken", st.Size(), p.off)}
		}
		if err != nil {
			return nil, err
		}
		return c.OpenFile(p.part, os.O_WRONLY)
	})
	return err
}

func (p *sftpPut) write(ctx context.Context, data []byte) error {
	file, off := p.file, p.off
	for len(data) > 0 {
		some, at := data[:min(len(data), mostPiece)], off
		err := do(ctx, p.link, p.s.o.Patience, func(*sftp.Client) error {
			_, err := file.WriteAt(some, at)
			return err
		})
		if err != nil {
			return err
		}
		off += int64(len(some))
		data = data[len(some):]
	}
	return nil
}

// publish syncs the file and gives it its name.
func (p *sftpPut) publish(ctx context.Context) error {
	if p.renamed {
		return p.wasRenamed(ctx)
	}
	file, size := p.file, p.off
	st, err := call(ctx, p.link, syncLimit, func(c *sftp.Client) (fs.FileInfo, error) {
		if _, ok := c.HasExtension(extFsync); ok {
			if err := file.Sync(); err != nil {
				return nil, err
			}
		}
		st, err := file.Stat()
		if err == nil && st.Size() != size {
			err = fmt.Errorf("the server has %d of %d bytes", st.Size(), size)
		}
		return st, errors.Join(err, file.Close())
	})
	if err != nil {
		return err
	}
	p.renamed, p.time = true, st.ModTime()
	return p.rename(ctx)
}

func (p *sftpPut) rename(ctx context.Context) error {
	return do(ctx, p.link, p.s.o.Patience, func(c *sftp.Client) error { return rename(c, p.part, p.at) })
}

// rename takes the place of a file that is there, without a moment in between
// where the server can do that.
func rename(c *sftp.Client, from, to string) error {
	if _, ok := c.HasExtension(extRename); ok {
		return c.PosixRename(from, to)
	}
	err := c.Rename(from, to)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if rerr := c.Remove(to); rerr != nil {
		if _, serr := c.Stat(to); serr == nil && errors.Is(rerr, fs.ErrPermission) {
			return fs.ErrExist // who may only add may not write over
		}
		return err
	}
	return c.Rename(from, to)
}

// wasRenamed finds out what became of a rename whose answer never came. Somebody
// else may have put another file in the place of ours since.
func (p *sftpPut) wasRenamed(ctx context.Context) error {
	there, err := call(ctx, p.link, p.s.o.Patience, func(c *sftp.Client) (bool, error) {
		_, err := c.Stat(p.part)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, err
	})
	switch {
	case err != nil:
		return err
	case there:
		return p.rename(ctx)
	}
	st, err := call(ctx, p.link, p.s.o.Patience, func(c *sftp.Client) (fs.FileInfo, error) { return c.Stat(p.at) })
	if err == nil && st.Size() != p.off && st.ModTime().Before(p.time) {
		err = fmt.Errorf("the server has lost it, and an older file of %d bytes is there", st.Size())
	}
	return err
}

// remove takes away what is not whole, as far as the server can be reached.
func (p *sftpPut) remove(ctx context.Context) {
	if !p.begun {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	l, err := p.s.connected(ctx)
	if err == nil {
		do(ctx, l, p.s.o.Patience, func(c *sftp.Client) error { return c.Remove(p.part) })
	}
}

// full tells a server without room, which says no more than "failure", from
// others.
func (p *sftpPut) full(ctx context.Context, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || p.link == nil {
		return err
	}
	st, serr := call(ctx, p.link, p.s.o.Patience, func(c *sftp.Client) (*sftp.StatVFS, error) { return c.StatVFS(path.Dir(p.at)) })
	if serr == nil && st.FreeSpace() < putPiece {
		return fmt.Errorf("%w: no room is left there", err)
	}
	return err
}

// announced yields as many bytes as were announced, or an error.
type announced struct {
	// config
	r    io.Reader
	size int64 // negative = not known
	url  string

	// state
	n int64
}

func (a *announced) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.n += int64(n)
	switch {
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("%s: %w", a.url, err)
	case a.size >= 0 && (a.n > a.size || err == io.EOF && a.n < a.size):
		return 0, fmt.Errorf("%s: got %d bytes, %d were announced", a.url, a.n, a.size)
	}
	return n, err
}
