package image

import (
	"context"
	"hash"
	"io"
	"sync"

	"lifeboat/clone/extent"
)

// A readAhead reads a stream in a goroutine of its own, so that waiting for
// bytes and unpacking them go on at the same time, and makes its digest there.
type readAhead struct {
	ctx    context.Context
	cancel context.CancelFunc
	pieces chan piece
	wait   sync.WaitGroup

	now  piece
	used int64 // bytes of now
	err  error // behind the last piece; read after pieces is closed
}

// newReadAhead reads what open opens, and closes it; sum may be nil.
func newReadAhead(ctx context.Context, open func(context.Context) (io.ReadCloser, error), sum hash.Hash) *readAhead {
	a := &readAhead{pieces: make(chan piece, ahead)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	a.wait.Go(func() {
		defer close(a.pieces)
		r, err := open(a.ctx)
		if err != nil {
			a.err = err
			return
		}
		defer r.Close()
		a.err = a.fill(r, sum)
	})
	return a
}

func (a *readAhead) fill(r io.Reader, sum hash.Hash) error {
	for off := int64(0); ; {
		p := piece{extent.Extent{Off: off}, extent.Buffer()}
		n, err := io.ReadFull(r, p.buf[:])
		p.Len = int64(n)
		off += p.Len
		if sum != nil {
			sum.Write(p.buf[:n])
		}
		if err := send(a.ctx, a.pieces, p); err != nil {
			return err
		}
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if err != nil {
			return err
		}
	}
}

// Read implements io.Reader. It obeys the context even where the stream, such as
// a terminal's or a pipe's, cannot be interrupted.
func (a *readAhead) Read(p []byte) (int, error) {
	for a.used == a.now.Len {
		a.now.release()
		a.now, a.used = piece{}, 0
		select {
		case next, ok := <-a.pieces:
			if !ok {
				return 0, a.err
			}
			a.now = next
		case <-a.ctx.Done():
			return 0, context.Cause(a.ctx)
		}
	}
	n := copy(p, a.now.buf[a.used:a.now.Len])
	a.used += int64(n)
	return n, nil
}

// Close ends the goroutine and waits for it; without waiting where its stream
// may never return from a read.
func (a *readAhead) Close(wait bool) {
	a.cancel()
	a.now.release()
	a.now = piece{}
	if wait {
		for p := range a.pieces {
			p.release()
		}
		a.wait.Wait()
	}
}
