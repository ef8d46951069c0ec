package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// An SFTP store is a folder of a machine that one logs in to by SSH. It keeps
// one connection, which is made when it is first wanted, and again when it broke:
// Close ends it. Names that begin with a dot are not listed: files in the making
// have such.
type SFTP struct {
	// config
	o        SSHOptions
	address  string // host:port
	user     string
	dir      string // "" = the folder where one arrives
	hostKey  string // fingerprint that the place names; "" = known_hosts judge
	identity string // file that the place names; "" = those of o
	shown    string // sftp://user@host:port, for messages

	// state
	gate     chan struct{} // held by who looks at what follows
	password string
	link     *sshLink
	making   *making
}

var _ Store = (*SFTP)(nil)

// NewSFTP is the store of the folder that u names: sftp://user@host:port/folder
// or, from the folder where one arrives, sftp://host/~/folder. A query may hold
// hostkey=SHA256:… and identity=FILE. It connects when it is first used.
func NewSFTP(u *url.URL, o SSHOptions) (*SFTP, error) {
	if o.Patience <= 0 {
		o.Patience = sshPatience
	}
	s := &SFTP{o: o, user: cmp.Or(u.User.Username(), o.User), gate: make(chan struct{}, 1), making: &making{of: map[string]Info{}}}
	s.password, _ = u.User.Password()
	s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "22"))
	s.shown = "sftp://" + s.user + "@" + u.Host
	if s.user == "" {
		return nil, fmt.Errorf("the place sftp://%s names no user: sftp://user@%s", u.Host, u.Host)
	}
	for key, values := range u.Query() {
		switch key {
		case "hostkey":
			s.hostKey = strings.ReplaceAll(values[0], " ", "+") // base64's plus, which a query means as a blank
		case "identity":
			s.identity = values[0]
		default:
			return nil, fmt.Errorf("the place %s has a %q behind its ?, but only hostkey and identity may be there", s.shown, key)
		}
	}
	s.dir = path.Clean(u.Path)
	if home, ok := strings.CutPrefix(s.dir, "/~"); ok && (home == "" || home[0] == '/') {
		s.dir = strings.TrimPrefix(home, "/")
	} else if u.Path == "" {
		s.dir = ""
	}
	return s, nil
}

// Is implements the use with errors.Is.
func (e *loginError) Is(target error) bool { return target == fs.ErrPermission }

// Close ends the connection. The store can still be used: it makes a new one.
func (s *SFTP) Close() error {
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	if s.link != nil {
		s.link.close()
		<-s.link.over
		s.link = nil
	}
	return nil
}

// connected is the connection, made anew if need be.
func (s *SFTP) connected(ctx context.Context) (*sshLink, error) {
	select {
	case s.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.gate }()
	if s.link != nil && !s.link.dead() {
		return s.link, nil
	}
	l, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.link = l
	return l, nil
}

// path is where a file lies on the server.
func (s *SFTP) path(name string) (string, error) {
	if !fs.ValidPath(name) || name == "." {
		return "", fmt.Errorf("the name %q leads out of %s: %w", name, s.url(""), fs.ErrInvalid)
	}
	return path.Join(s.dir, name), nil
}

// url is a file as messages name it.
func (s *SFTP) url(name string) string {
	at := path.Join(s.dir, name)
	if !path.IsAbs(at) {
		at = path.Join("/~", at)
	}
	return s.shown + at
}

// explain says what an error of the server means.
func (s *SFTP) explain(l *sshLink, name string, err error) error {
	var status *sftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStalled):
		return fmt.Errorf("%s: the server has not answered for too long: %w", s.url(name), err)
	case l != nil && l.lost(err):
		return fmt.Errorf("%s: the connection broke: %w", s.url(name), noEOF(err))
	case errors.As(err, &status):
		return fmt.Errorf("%s: the server says: %w", s.url(name), err)
	case errors.Is(err, fs.ErrNotExist):
		return notExist(s.url(name))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: the server does not allow it: %w", s.url(name), fs.ErrPermission)
	}
	return fmt.Errorf("%s: %w", s.url(name), err)
}

// ask does f on a file, a second time where the connection turns out to have
// ended in the meantime: f must be something that may be done twice.
func ask[T any](ctx context.Context, s *SFTP, name string, f func(*sftp.Client, string) (T, error)) (T, error) {
	var none T
	at, err := s.path(name)
	if err != nil {
		return none, err
	}
	return askAbout(ctx, s, name, s.o.Patience, func(c *sftp.Client) (T, error) { return f(c, at) })
}

// askAbout is ask for what may take longer, and for folders. Name is for messages.
func askAbout[T any](ctx context.Context, s *SFTP, name string, limit time.Duration, f func(*sftp.Client) (T, error)) (T, error) {
	var none T
	for again := true; ; again = false {
		l, err := s.connected(ctx)
		if err != nil {
			return none, err
		}
		v, err := call(ctx, l, limit, f)
		if err == nil || !again || ctx.Err() != nil || errors.Is(err, errStalled) || !l.lost(err) {
			return v, s.explain(l, name, err)
		}
		l.close()
		<-l.over // or the next look would still take it for alive
	}
}

// Stat looks at one file.
func (s *SFTP) Stat(ctx context.Context, name string) (Info, error) {
	st, err := ask(ctx, s, name, func(c *sftp.Client, at string) (fs.FileInfo, error) { return c.Stat(at) })
	if err != nil {
		return Info{}, err
	}
	if !st.Mode().IsRegular() {
		return Info{}, fmt.Errorf("%s is not a file", s.url(name))
	}
	return infoOf(name, st), nil
}

// Open implements Store.
func (s *SFTP) Open(ctx context.Context, name string, off int64) (io.ReadCloser, error) {
	o, err := s.openRange(ctx, name, off, -1, Info{Size: -1})
	return o.body, err
}

// Remove implements Store.
func (s *SFTP) Remove(ctx context.Context, name string) error {
	if _, err := s.Stat(ctx, name); err != nil {
		return err // the library would go on and remove a folder
	}
	asked := false
	_, err := ask(ctx, s, name, func(c *sftp.Client, at string) (struct{}, error) {
		err := c.Remove(at)
		if asked && errors.Is(err, fs.ErrNotExist) {
			err = nil // only the answer was lost
		}
		asked = true
		return struct{}{}, err
	})
	return err
}

// Move gives a file another name. Both are in one folder, or the other's folder
// is there.
func (s *SFTP) Move(ctx context.Context, from, to string) error {
	dst, err := s.path(to)
	if err != nil {
		return err
	}
	asked := false
	_, err = ask(ctx, s, from, func(c *sftp.Client, src string) (struct{}, error) {
		err := rename(c, src, dst)
		if again := asked; again && errors.Is(err, fs.ErrNotExist) {
			_, err = c.Stat(dst) // only the answer was lost
		}
		asked = true
		return struct{}{}, err
	})
	return err
}

// Now is the server's clock, to the second: the time of a file that is made for
// it, in the store's folder, and removed.
func (s *SFTP) Now(ctx context.Context) (time.Time, error) {
	name := partName("clock")
	return ask(ctx, s, name, func(c *sftp.Client, at string) (time.Time, error) {
		f, err := create(c, at)
		if err != nil {
			return time.Time{}, err
		}
		st, err := f.Stat()
		if err = errors.Join(err, f.Close(), c.Remove(at)); err != nil {
			return time.Time{}, err
		}
		return st.ModTime(), nil
	})
}

// listers is how many folders are read at once: a repository has thousands, and
// each costs the way to the server and back a few times.
const listers = 16

// List implements Store.
func (s *SFTP) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		begin := strings.TrimSuffix(prefix[:strings.LastIndexByte(prefix, '/')+1], "/")
		if begin != "" && !fs.ValidPath(begin) {
			return
		}
		for todo := []string{begin}; len(todo) > 0; {
			now := todo[max(0, len(todo)-listers):]
			todo = todo[:len(todo)-len(now)]
			found, err := s.folders(ctx, now)
			for i, entries := range found {
				for _, e := range entries {
					name := path.Join(now[i], e.Name())
					switch {
					case !fs.ValidPath(name):
					case strings.HasPrefix(e.Name(), "."):
						s.making.see(name, e)
					case e.IsDir() && overlap(name+"/", prefix):
						todo = append(todo[:len(todo):len(todo)], name)
					case e.Mode().IsRegular() && strings.HasPrefix(name, prefix):
						if !yield(infoOf(name, e), nil) {
							return
						}
					}
				}
			}
			if err != nil {
				yield(Info{}, err)
				return
			}
		}
	}
}

// folders reads folders at once. One that is not there is empty.
func (s *SFTP) folders(ctx context.Context, names []string) ([][]fs.FileInfo, error) {
	found := make([][]fs.FileInfo, len(names))
	errs := make(chan error, len(names))
	for i, name := range names {
		go func() {
			entries, err := s.folder(ctx, name)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			found[i] = entries
			errs <- err
		}()
	}
	var all error
	for range names {
		all = cmp.Or(all, <-errs)
	}
	return found, all
}

func (s *SFTP) folder(ctx context.Context, name string) ([]fs.FileInfo, error) {
	at := cmp.Or(path.Join(s.dir, name), ".")
	// A large folder comes in many answers: the connection's own watch is the limit.
	const long = time.Hour
	return askAbout(ctx, s, name, long, func(c *sftp.Client) ([]fs.FileInfo, error) { return c.ReadDirContext(ctx, at) })
}
