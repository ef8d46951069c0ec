package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func readFrom(text string) func(context.Context, string) (string, error) {
	r := bufio.NewReader(strings.NewReader(text))
	return func(context.Context, string) (string, error) { return r.ReadString('\n') }
}

func TestLineAskerChooses(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := lineAsker{&out, readFrom("\nfour\n9\n2\n")}
	got, err := a.choose(t.Context(), "which?", []string{"a", "b", "c"})
	if err != nil || got != 1 {
		t.Errorf("got %d, %v, want the second", got, err)
	}
	for _, want := range []string{"which?", `"four" is none of them`, `"9" is none of them`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestLineAskerNoticesThatNobodyIsThere(t *testing.T) {
	t.Parallel()
	a := lineAsker{io.Discard, readFrom("half a line")}
	if _, err := a.line(t.Context(), "word"); !errors.Is(err, errNobody) {
		t.Errorf("got %v, want errNobody", err)
	}
}

// keyboard is a terminal on which keys have been typed already.
type keyboard struct {
	io.Reader
	io.Writer
}

// TestPromptAskerChooses holds the menu as promptui draws it: cursor down, then
// Enter; and a line that is typed and mended.
func TestPromptAskerChooses(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	typed := func(keys string) promptAsker {
		return promptAsker{func(context.Context) (io.ReadWriter, func() error, error) {
			in, typing := io.Pipe()
			go func() {
				for _, key := range strings.SplitAfter(keys, "|") {
					io.WriteString(typing, strings.TrimSuffix(key, "|"))
				}
			}()
			return keyboard{in, &out}, func() error { return nil }, nil
		}}
	}
	got, err := typed("\x1b[B|\r").choose(t.Context(), "which?", []string{"a", "b", "c"})
	if err != nil || got != 1 {
		t.Errorf("got %d, %v, want the second", got, err)
	}
	if !strings.Contains(out.String(), "which?") {
		t.Errorf("the title is missing in %q", out.String())
	}
	if strings.Contains(out.String(), "\a") {
		t.Error("the bell rang")
	}
	text, err := typed("wrod|\x7f|\x7f|\x7f|ord|\r").line(t.Context(), "word")
	if err != nil || text != "word" {
		t.Errorf("got %q, %v, want the mended word", text, err)
	}
	if _, err := typed("\x03").line(t.Context(), "word"); !errors.Is(err, errNobody) {
		t.Errorf("ctrl-C: got %v, want errNobody", err)
	}
}
