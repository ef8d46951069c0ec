package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// tailLines is how much of a console an error shows.
const tailLines = 25

// Causes where a board will not say any more what was expected.
var (
	errEnded  = errors.New("the board ended")
	errGaveUp = errors.New("systemd gave up booting it")
)

// gaveUp is what systemd says then (systemd 252 to 257, src/sulogin-shell).
const gaveUp = "You are in emergency mode"

// A Console is a board's serial line, read and written as a person would: wait
// for a text, type an answer. All of it is recorded in a file, raw.
type Console struct {
	path string
	keys io.Writer

	mu      sync.Mutex
	record  *os.File
	clean   cleaner
	text    []byte        // all that was said, without escape sequences
	seen    int           // what Expect has consumed of text
	more    chan struct{} // closed and made anew when text grows
	hasDied bool
}

func newConsole(dir string) (*Console, error) {
	f, err := os.CreateTemp(dir, "console-*.log")
	if err != nil {
		return nil, err
	}
	return &Console{path: f.Name(), record: f, more: make(chan struct{})}, nil
}

// Write takes what the board says.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = c.clean.append(c.text, p)
	c.wake()
	return c.record.Write(p)
}

// Expect waits until the board has said text, behind what the last Expect or
// Line took. The error holds the console's last lines.
func (c *Console) Expect(ctx context.Context, text string) error {
	_, err := c.find(ctx, text, func(rest []byte) int {
		if i := bytes.Index(rest, []byte(text)); i >= 0 {
			return i + len(text)
		}
		return -1
	})
	return err
}

// Line waits for a line that holds text and returns the whole of it once its
// end has come.
func (c *Console) Line(ctx context.Context, text string) (string, error) {
	taken, err := c.find(ctx, text, func(rest []byte) int {
		i := bytes.Index(rest, []byte(text))
		if i < 0 {
			return -1
		}
		end := bytes.IndexByte(rest[i:], '\n')
		if end < 0 {
			return -1
		}
		return i + end + 1
	})
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSuffix(taken, "\n"), "\n")
	return lines[len(lines)-1], nil
}

// find waits until end finds where the text sought ends, and takes all up to
// there.
func (c *Console) find(ctx context.Context, text string, end func(rest []byte) int) (string, error) {
	for {
		c.mu.Lock()
		if n := end(c.text[c.seen:]); n >= 0 {
			taken := string(c.text[c.seen : c.seen+n])
			c.seen += n
			c.mu.Unlock()
			return taken, nil
		}
		more, died, lost := c.more, c.hasDied, bytes.Contains(c.text[c.seen:], []byte(gaveUp))
		c.mu.Unlock()
		switch {
		case died:
			return "", c.unsaid(text, errEnded)
		case lost:
			return "", c.unsaid(text, errGaveUp)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", c.unsaid(text, ctx.Err())
		}
	}
}

func (c *Console) unsaid(text string, cause error) error {
	return fmt.Errorf("console never said %q: %w; its last lines:\n%s", text, cause, c.tail(tailLines))
}

// Send types keys; a line ends with "\n".
func (c *Console) Send(keys string) error {
	if _, err := io.WriteString(c.keys, keys); err != nil {
		return fmt.Errorf("type %q on the console: %w", keys, err)
	}
	return nil
}

// Text is all that the board has said, without escape sequences.
func (c *Console) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

func (c *Console) tail(lines int) string {
	all := strings.Split(strings.TrimRight(c.Text(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (c *Console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hasDied = true
	c.record.Close()
	c.wake()
}

func (c *Console) wake() {
	close(c.more)
	c.more = make(chan struct{})
}

// A cleaner drops carriage returns and the escape sequences of ECMA-48: colours
// and cursor moves of U-Boot and systemd stand in the middle of words.
type cleaner struct{ state cleanState }

type cleanState uint8

const (
	inText cleanState = iota
	afterEscape
	inSequence // behind ESC [
	inString   // behind ESC ], up to BEL or ESC \
)

func (c *cleaner) append(text, raw []byte) []byte {
	for _, b := range raw {
		switch c.state {
		case inText:
			switch {
			case b == 0x1b:
				c.state = afterEscape
			case b != '\r' && b != 0:
				text = append(text, b)
			}
		case afterEscape:
			switch {
			case b == '[':
				c.state = inSequence
			case b == ']':
				c.state = inString
			case b < 0x20 || b > 0x2f: // intermediate bytes go on
				c.state = inText
			}
		case inSequence:
			if b >= 0x40 && b <= 0x7e {
				c.state = inText
			}
		case inString:
			switch b {
			case 0x07:
				c.state = inText
			case 0x1b:
				c.state = afterEscape
			}
		}
	}
	return text
}
