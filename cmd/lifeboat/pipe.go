package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// A piper starts a program that reads what is written to it and writes to w.
// Close waits for its end.
type piper func(ctx context.Context, w io.Writer, name string, args ...string) (io.WriteCloser, error)

// pipedProgram is a program that was started.
type pipedProgram struct {
	// config
	in  io.WriteCloser
	cmd *exec.Cmd

	// state
	words strings.Builder // its standard error
	ended bool
	err   error // of its end
}

// startPipe is the piper of the real world.
func startPipe(ctx context.Context, w io.Writer, name string, args ...string) (io.WriteCloser, error) {
	p := &pipedProgram{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.Stdout, p.cmd.Stderr = w, &p.words
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Write fails with what the program said, should it have ended.
func (p *pipedProgram) Write(b []byte) (int, error) {
	n, err := p.in.Write(b)
	if err != nil {
		err = errors.Join(p.Close(), err)
	}
	return n, err
}

// Close waits for the program, and says what it said, should it have ended badly.
func (p *pipedProgram) Close() error {
	if p.ended {
		return p.err
	}
	p.ended = true
	p.err = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		p.err = fmt.Errorf("%s: %w: %s", p.cmd.Args[0], err, strings.TrimSpace(p.words.String()))
	}
	return p.err
}

// packXZ lets the system's xz pack on all cores.
func (e *env) packXZ(ctx context.Context, w io.Writer, level int) (io.WriteCloser, error) {
	args := []string{"-T0", "-c"}
	if level > 0 {
		args = append(args, fmt.Sprintf("-%d", min(level, 9)))
	}
	return e.pipe(ctx, w, "xz", args...)
}
