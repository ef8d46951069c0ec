package main

import (
	"context"
	"testing"
)

func TestAsFolder(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]string{
		"pis": "pis/", "/mnt/why?": "/mnt/why?/", "sftp://pi@nas/pis//": "sftp://pi@nas/pis/",
		"s3://bucket/pis?endpoint=http://nas:9000": "s3://bucket/pis/?endpoint=http://nas:9000",
	} {
		if got := asFolder(place); got != want {
			t.Errorf("%s: got %s, want %s", place, got, want)
		}
	}
}

func TestRemembering(t *testing.T) {
	t.Parallel()
	asked := 0
	ask := remembering(func(_ context.Context, question string) (string, error) {
		asked++
		return "to " + question, nil
	})
	for range 2 {
		if got, err := ask(t.Context(), "a"); got != "to a" || err != nil {
			t.Errorf("got %q and %v", got, err)
		}
	}
	if got, err := ask(t.Context(), "b"); got != "to b" || err != nil || asked != 2 {
		t.Errorf("got %q and %v after %d questions", got, err, asked)
	}
}
