package main

import (
	"bufio"
	"errors"
	"strings"
	"testing"
)

func TestLineAskerChooses(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := &lineAsker{bufio.NewReader(strings.NewReader("\nfour\n9\n2\n")), &out}
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
	var out strings.Builder
	a := &lineAsker{bufio.NewReader(strings.NewReader("half a line")), &out}
	if _, err := a.line(t.Context(), "word"); !errors.Is(err, errNobody) {
		t.Errorf("got %v, want errNobody", err)
	}
}
