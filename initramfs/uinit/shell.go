package uinit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/core"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Shell reads and runs commands until in ends, exit is called, or ctx ends. Its
// own commands (help lists them) run in this process, all others as programs of
// PATH. On a terminal (in is an *os.File) lines are edited, remembered and
// completed. Each word on interrupts, which may be nil, ends the command that
// runs. Commands read from in only where it is an *os.File.
//
// Failures of commands are told on errw and go on; an error is one of in or of
// ctx.
func Shell(ctx context.Context, in io.Reader, out, errw io.Writer, interrupts <-chan os.Signal) error {
	s := &shell{out: out, errw: errw, interrupts: interrupts}
	file, _ := in.(*os.File)
	var programs io.Reader
	if file != nil { // a nil *os.File in an io.Reader is not nil
		programs = file
	}
	var err error
	s.runner, err = interp.New(interp.StdIO(programs, out, errw), interp.ExecHandlers(s.handler), interp.Interactive(true))
	if err != nil {
		return fmt.Errorf("shell: %w", err)
	}
	s.lines = &plainLines{in}
	if file != nil && term.IsTerminal(int(file.Fd())) {
		s.lines = newEditor(file, out, s.complete)
	}
	return s.run(ctx)
}

// A shell is one run of Shell.
type shell struct {
	// config
	runner     *interp.Runner
	lines      lineReader
	out, errw  io.Writer
	interrupts <-chan os.Signal
}

// lineReader reads a line, without its end, after showing a prompt.
type lineReader interface {
	ReadLine(prompt string) (string, error)
}

func (s *shell) run(ctx context.Context) error {
	for ctx.Err() == nil {
		file, err := s.parse()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isSyntax(err):
			fmt.Fprintln(s.errw, "shell:", err)
			continue
		case err != nil:
			return fmt.Errorf("shell: %w", err)
		}
		for _, stmt := range file.Stmts {
			if err := s.stmt(ctx, stmt); err != nil {
				fmt.Fprintln(s.errw, "shell:", err)
			}
			if s.runner.Exited() {
				return nil
			}
		}
	}
	return fmt.Errorf("shell: %w", context.Cause(ctx))
}

// parse reads lines until they are whole commands.
func (s *shell) parse() (*syntax.File, error) {
	prompt, text := "lifeboat:"+s.runner.Dir+"# ", ""
	for {
		line, err := s.lines.ReadLine(prompt)
		if err != nil {
			return nil, err
		}
		text += line + "\n"
		file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
		if err == nil || !syntax.IsIncomplete(err) {
			return file, err
		}
		prompt = "> "
	}
}

func isSyntax(err error) bool {
	var p syntax.ParseError
	var l syntax.LangError
	return errors.As(err, &p) || errors.As(err, &l)
}

// stmt runs one statement. What it returns is more than an exit status.
func (s *shell) stmt(ctx context.Context, stmt *syntax.Stmt) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		select {
		case <-s.interrupts:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.runner.Run(ctx, stmt)
	if _, status := interp.IsExitStatus(err); status {
		return nil
	}
	return err
}

// killAfter is how long a program may take to end once it was interrupted.
const killAfter = 2 * time.Second

// handler runs our own commands, u-root's, and then programs.
func (s *shell) handler(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	programs := interp.DefaultExecHandler(killAfter)
	return func(ctx context.Context, args []string) error {
		hc := interp.HandlerCtx(ctx)
		for _, c := range ownCommands() {
			if c.name == args[0] {
				return told(hc, args[0], c.run(ctx, hc, args[1:]))
			}
		}
		for _, c := range coreCommands() {
			if c.name == args[0] {
				return told(hc, args[0], runCore(ctx, hc, c.make(), args[1:]))
			}
		}
		return programs(ctx, args)
	}
}

// told turns an error into a line and an exit status.
func told(hc interp.HandlerContext, name string, err error) error {
	if err == nil {
		return nil
	}
	if _, status := interp.IsExitStatus(err); status {
		return err
	}
	fmt.Fprintf(hc.Stderr, "%s: %v\n", name, err)
	return interp.NewExitStatus(1)
}

func runCore(ctx context.Context, hc interp.HandlerContext, c core.Command, args []string) error {
	c.SetIO(stdin(hc), hc.Stdout, hc.Stderr)
	c.SetWorkingDir(hc.Dir)
	c.SetLookupEnv(func(name string) (string, bool) {
		v := hc.Env.Get(name)
		return v.Str, v.IsSet()
	})
	return c.RunContext(ctx, args...)
}

// plainLines reads byte by byte, so that commands find the rest of the input
// where the shell has left it.
type plainLines struct{ r io.Reader }

func (p *plainLines) ReadLine(string) (string, error) {
	var line []byte
	var b [1]byte
	for {
		n, err := p.r.Read(b[:])
		switch {
		case n == 1 && b[0] == '\n':
			return string(line), nil
		case n == 1 && len(line) < maxScriptLine:
			line = append(line, b[0])
		case n == 1:
			return "", fmt.Errorf("a line of more than %d bytes", maxScriptLine)
		case err == io.EOF && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
	}
}

const maxScriptLine = 64 << 10
