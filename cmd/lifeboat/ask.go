package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/manifoldco/promptui"
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
	in  io.ReadCloser
	out io.WriteCloser
}

var _ asker = promptAsker{}

// screenItems is how many items a list shows at a time.
const screenItems = 12

func (a promptAsker) choose(_ context.Context, title string, items []string) (int, error) {
	list := promptui.Select{Label: title, Items: items, Size: screenItems, Stdin: a.in, Stdout: quiet{a.out}, HideHelp: true}
	i, _, err := list.Run()
	return i, promptError(err)
}

func (a promptAsker) line(_ context.Context, question string) (string, error) {
	prompt := promptui.Prompt{Label: question, Stdin: a.in, Stdout: quiet{a.out}}
	text, err := prompt.Run()
	return strings.TrimSpace(text), promptError(err)
}

func promptError(err error) error {
	if errors.Is(err, promptui.ErrInterrupt) || errors.Is(err, promptui.ErrEOF) {
		return errNobody
	}
	return err
}

// quiet takes out the bell, which promptui rings at every key.
type quiet struct{ io.WriteCloser }

func (q quiet) Write(b []byte) (int, error) {
	if len(b) == 1 && b[0] == '\a' {
		return 1, nil
	}
	return q.WriteCloser.Write(b)
}

// lineAsker asks where there is only a line: serial consoles, pipes.
type lineAsker struct {
	in  *bufio.Reader
	out io.Writer
}

var _ asker = (*lineAsker)(nil)

func (a *lineAsker) choose(ctx context.Context, title string, items []string) (int, error) {
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
			fmt.Fprintf(a.out, "%q is none of them\n", text)
		}
	}
}

func (a *lineAsker) line(ctx context.Context, question string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	fmt.Fprintf(a.out, "%s: ", question)
	text, err := a.in.ReadString('\n')
	if err != nil {
		return "", errNobody
	}
	return strings.TrimSpace(text), nil
}
