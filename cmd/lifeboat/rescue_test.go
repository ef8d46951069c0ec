package main

import (
	"context"
	"testing"
)

// TestGateRemembersAKey holds that a key which was pressed while a job ran is
// not lost: it leads to the menu when the job has ended.
func TestGateRemembersAKey(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	g := &gate{stop: stop}
	if err := g.close(ctx); err != nil {
		t.Fatal(err)
	}
	g.interrupt()
	if ctx.Err() != nil {
		t.Error("a key stopped a job that had begun")
	}
	g.open()
	if ctx.Err() == nil {
		t.Error("the key was forgotten")
	}
}

func TestGateStopsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	g := &gate{stop: stop}
	g.interrupt()
	if err := g.close(ctx); err == nil {
		t.Error("the job begins though somebody has pressed a key")
	}
}
