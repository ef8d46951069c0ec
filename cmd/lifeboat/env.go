package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/term"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/clone/filesystem"
	"lifeboat/clone/store"
	"lifeboat/internal/memory"
	"lifeboat/internal/progress"
	"lifeboat/internal/speech"
)

// env is the world as the commands see it: a test makes its own.
type env struct {
	// config
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	terminal bool // a person is there to answer
	sys      *disk.Sys
	tools    filesystem.Tools
	have     func(program string) bool
	pipe     piper
	client   *http.Client
	places   store.Options // how addresses are reached; with client
	clock    func() time.Time
	random   io.Reader
	stateDir string // what is kept from one backup to the next
	language speech.Language

	// flags that every command has
	json bool
	dry  bool
	repo repoFlags // of those that may meet a repository

	// state
	meter  *progress.Meter
	show   *shower
	divert func(format string, args ...any) // takes what logf is told; nil: it is printed
}

func hostEnv() *env {
	e := &env{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		sys:      disk.Host(),
		tools:    filesystem.Tools{Run: filesystem.Exec},
		have:     filesystem.Have,
		pipe:     startPipe,
		client:   store.NewClient(),
		places:   store.HostOptions(os.Getenv),
		clock:    time.Now,
		random:   rand.Reader,
		stateDir: "/var/lib/lifeboat",
		language: speech.Of(os.Getenv),
	}
	e.places.Client = e.client
	if e.places.SSH.Password == nil && e.terminal {
		e.places.SSH.Password = remembering(e.secret)
	}
	e.meter = progress.New(e.clock)
	return e
}

func (e *env) close() { e.show.stop() }

// logf tells what is going on: above the line that shows the progress.
func (e *env) logf(format string, args ...any) {
	if e.divert != nil {
		e.divert(format, args...)
		return
	}
	if e.show == nil && !e.json {
		fmt.Fprintf(e.stderr, format+"\n", args...)
		return
	}
	e.show.logf(format, args...)
}

// memoryShare is which part of the memory that can be had a run takes beyond its
// usual buffers: the collector may hold as much again, and the programs that are
// started want theirs.
const memoryShare = 4

func (e *env) runner() clone.Runner {
	have, _ := memory.Available(e.sys.Proc)
	return clone.Runner{
		Tools: e.tools, Meter: e.meter, Logf: e.logf, Clock: e.clock, Fuse: e.sys.OpenFuse,
		Memory: have / memoryShare,
	}
}
