package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// qmp speaks QEMU's machine protocol: one JSON object a line, answers and events
// mixed.
type qmp struct {
	conn    net.Conn
	answers chan qmpMessage
	ended   chan struct{} // closed when the connection ended

	one  sync.Mutex // held while a command waits for its answer
	last int        // number of the last command
}

type qmpMessage struct {
	ID     int             `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	QMP   json.RawMessage `json:"QMP"` // the greeting
}

var errQMPClosed = errors.New("QEMU closed its control connection")

func newQMP(ctx context.Context, conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, answers: make(chan qmpMessage, 16), ended: make(chan struct{})}
	go q.read()
	_, err := q.do(ctx, "qmp_capabilities", nil)
	return q, err
}

func (q *qmp) read() {
	defer close(q.ended)
	in := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		if in.Decode(&m) != nil {
			return
		}
		if m.QMP == nil && m.Event == "" {
			q.answers <- m
		}
	}
}

// do runs one command and waits for its answer.
func (q *qmp) do(ctx context.Context, command string, args any) (json.RawMessage, error) {
	q.one.Lock()
	defer q.one.Unlock()
	q.last++
	request := map[string]any{"execute": command, "id": q.last}
	if args != nil {
		request["arguments"] = args
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return nil, fmt.Errorf("QEMU command %s: %w", command, err)
	}
	for {
		select {
		case m := <-q.answers:
			switch {
			case m.ID != q.last: // of a command that nobody waited for
			case m.Error != nil:
				return nil, fmt.Errorf("QEMU command %s: %s", command, m.Error.Desc)
			default:
				return m.Return, nil
			}
		case <-q.ended:
			return nil, fmt.Errorf("QEMU command %s: %w", command, errQMPClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("QEMU command %s: %w", command, ctx.Err())
		}
	}
}

func (q *qmp) close() { q.conn.Close() }
