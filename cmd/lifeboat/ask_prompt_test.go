//go:build !race

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// The race detector finds promptui racing with itself: its listener and its end
// share a buffer. Nobody maintains it, so this test runs without the detector
// (Makefile, test).

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
