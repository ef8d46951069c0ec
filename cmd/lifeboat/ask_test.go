package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"lifeboat/internal/speech"
)

func readFrom(text string) func(context.Context, string) (string, error) {
	r := bufio.NewReader(strings.NewReader(text))
	return func(context.Context, string) (string, error) { return r.ReadString('\n') }
}

func TestLineAskerChooses(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := lineAsker{speech.English, &out, readFrom("\nfour\n9\n2\n")}
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
	a := lineAsker{speech.English, io.Discard, readFrom("half a line")}
	if _, err := a.line(t.Context(), "word"); !errors.Is(err, errNobody) {
		t.Errorf("got %v, want errNobody", err)
	}
}
