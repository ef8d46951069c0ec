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

	mu     sync.Mutex
	events []qmpEvent
}

type qmpMessage struct {
	ID    int `json:"id"`
	Error *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	Data  struct {
		Device string `json:"device"`
	} `json:"data"`
	QMP json.RawMessage `json:"QMP"` // the greeting
}

// A qmpEvent is one that somebody waits for.
type qmpEvent struct {
	name, device string
	came         chan struct{}
}

var errQMPClosed = errors.New("QEMU closed its control connection")

func newQMP(ctx context.Context, conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, answers: make(chan qmpMessage, 16), ended: make(chan struct{})}
	go q.read()
	if err := q.do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *qmp) read() {
	defer close(q.ended)
	in := json.NewDecoder(q.conn)
	for {
		var m qmpMessage
		if in.Decode(&m) != nil {
			return
		}
		switch {
		case m.QMP != nil:
		case m.Event != "":
			q.tell(m)
		default:
			q.answers <- m
		}
	}
}

// event returns a channel that is closed when the named event of a device comes.
func (q *qmp) event(name, device string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	came := make(chan struct{})
	q.events = append(q.events, qmpEvent{name, device, came})
	return came
}

func (q *qmp) tell(m qmpMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	rest := q.events[:0]
	for _, e := range q.events {
		if e.name == m.Event && e.device == m.Data.Device {
			close(e.came)
			continue
		}
		rest = append(rest, e)
	}
	q.events = rest
}

// do runs one command and waits for its answer.
func (q *qmp) do(ctx context.Context, command string, args any) error {
	q.one.Lock()
	defer q.one.Unlock()
	q.last++
	request := map[string]any{"execute": command, "id": q.last}
	if args != nil {
		request["arguments"] = args
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return fmt.Errorf("QEMU command %s: %w", command, err)
	}
	for {
		select {
		case m := <-q.answers:
			switch {
			case m.ID != q.last: // of a command that nobody waited for
			case m.Error != nil:
				return fmt.Errorf("QEMU command %s: %s", command, m.Error.Desc)
			default:
				return nil
			}
		case <-q.ended:
			return fmt.Errorf("QEMU command %s: %w", command, errQMPClosed)
		case <-ctx.Done():
			return fmt.Errorf("QEMU command %s: %w", command, ctx.Err())
		}
	}
}

func (q *qmp) close() { q.conn.Close() }
