package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/manifoldco/promptui"

	"lifeboat/internal/speech"
)

// An asker puts questions to the person at one console.
type asker interface {
	// choose returns the index of the item that was chosen.
	choose(ctx context.Context, title string, items []string) (int, error)
	// line returns one line of text without the space around it.
	line(ctx context.Context, question string) (string, error)
}

// errNobody says that whoever was asked has gone.
var errNobody = errors.New("nobody answers any more")

// promptAsker asks on a terminal that can move its cursor.
type promptAsker struct {
	// open gives the terminal in raw mode; back undoes that.
	open func(ctx context.Context) (tty io.ReadWriter, back func() error, err error)
}

var _ asker = promptAsker{}

// screenItems is how many items a list shows at a time.
const screenItems = 12

func (a promptAsker) choose(ctx context.Context, title string, items []string) (i int, err error) {
	err = a.on(ctx, func(in io.ReadCloser, out io.WriteCloser) error {
		list := promptui.Select{Label: title, Items: items, Size: screenItems, Stdin: in, Stdout: out, HideHelp: true}
		i, _, err = list.Run()
		return err
	})
	return i, err
}

func (a promptAsker) line(ctx context.Context, question string) (text string, err error) {
	err = a.on(ctx, func(in io.ReadCloser, out io.WriteCloser) error {
		prompt := promptui.Prompt{Label: question, Stdin: in, Stdout: out}
		text, err = prompt.Run()
		return err
	})
	return strings.TrimSpace(text), err
}

// on runs a prompt on the terminal.
func (a promptAsker) on(ctx context.Context, do func(in io.ReadCloser, out io.WriteCloser) error) error {
	tty, back, err := a.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(promptError(do(io.NopCloser(tty), quiet{tty})), back())
}

func promptError(err error) error {
	if errors.Is(err, promptui.ErrInterrupt) { // a terminal in raw mode makes no signal of ^C
		return fmt.Errorf("%w: %w", errNobody, context.Canceled)
	}
	if errors.Is(err, promptui.ErrEOF) {
		return errNobody
	}
	return err
}

// quiet takes out the bell, which promptui rings at every key, and stays open
// when promptui closes it.
type quiet struct{ io.Writer }

func (q quiet) Write(b []byte) (int, error) {
	if len(b) == 1 && b[0] == '\a' {
		return 1, nil
	}
	return q.Writer.Write(b)
}

func (q quiet) Close() error { return nil }

// lineAsker asks where there is only a line: serial consoles, pipes.
type lineAsker struct {
	l    speech.Language
	out  io.Writer
	read func(ctx context.Context, prompt string) (string, error)
}

var _ asker = lineAsker{}

func (a lineAsker) choose(ctx context.Context, title string, items []string) (int, error) {
	for {
		fmt.Fprintf(a.out, "\n%s\n", title)
		for i, item := range items {
			fmt.Fprintf(a.out, "  %2d  %s\n", i+1, item)
		}
		text, err := a.line(ctx, fmt.Sprintf("1–%d", len(items)))
		if err != nil {
			return 0, err
		}
		if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(items) {
			return n - 1, nil
		}
		if text != "" {
			fmt.Fprintln(a.out, a.l.T("%q is none of them", text))
		}
	}
}

func (a lineAsker) line(ctx context.Context, question string) (string, error) {
	text, err := a.read(ctx, question+": ")
	if err != nil && ctx.Err() == nil {
		return "", errNobody
	}
	return strings.TrimSpace(text), err
}
