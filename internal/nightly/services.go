package nightly

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A stopper stops services, and starts again what it stopped. What it is about
// to stop is recorded first, so that another process can start it should this
// one die.
type stopper struct {
	// config
	units    Units
	run      Runner
	patience time.Duration
	record   func(units, commands []string) error
	logf     func(format string, args ...any)
	services []string
	stop     []string
	start    []string

	// state
	stopped  []string // units
	commands bool     // that stop were begun
}

// check tells beforehand what could not be stopped.
func (s *stopper) check(ctx context.Context) error {
	var errs []error
	for _, unit := range s.services {
		_, err := s.units.Running(ctx, unit)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// down stops all, commands first, then units in their order. An error is
// returned before anything more is stopped; up is called in any case.
func (s *stopper) down(ctx context.Context) error {
	if s.commands = len(s.stop)+len(s.start) > 0; s.commands {
		if err := s.note(); err != nil {
			return err
		}
	}
	for _, command := range s.stop {
		if err := s.command(ctx, command); err != nil {
			return err
		}
	}
	for _, unit := range s.services {
		if err := s.stopUnit(ctx, unit); err != nil {
			return err
		}
	}
	return nil
}

func (s *stopper) stopUnit(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	running, err := s.units.Running(ctx, unit)
	if err != nil {
		return err
	}
	if !running {
		s.logf("service %s does not run", unit)
		return nil
	}
	s.stopped = append(s.stopped, unit)
	if err := s.note(); err != nil {
		return err
	}
	s.logf("stop service %s", unit)
	return s.units.Stop(ctx, unit)
}

// up starts what was stopped: units in reverse, then the commands. One that
// fails is told, and keeps no other from being started. It obeys no cancelled
// context.
func (s *stopper) up(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, unit := range slices.Backward(s.stopped) {
		s.logf("start service %s", unit)
		errs = append(errs, s.startUnit(ctx, unit))
	}
	if s.commands {
		for _, command := range s.start {
			errs = append(errs, s.command(ctx, command))
		}
	}
	s.stopped, s.commands = nil, false
	if err := errors.Join(errs...); err != nil {
		return err // it stays recorded
	}
	return s.note()
}

// startTries is how often a unit is started: one that failed may have waited for
// another.
const startTries = 2

func (s *stopper) startUnit(ctx context.Context, unit string) error {
	var err error
	for range startTries {
		once, cancel := context.WithTimeout(ctx, s.patience)
		err = s.units.Start(once, unit)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func (s *stopper) note() error {
	var commands []string
	if s.commands {
		commands = s.start
	}
	return s.record(s.stopped, commands)
}

func (s *stopper) command(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	s.logf("run %s", command)
	out, err := s.run(ctx, nil, "/bin/sh", "-c", command)
	for line := range strings.Lines(out) {
		s.logf("  %s", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	return nil
}
