package nightly

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-systemd/v22/dbus"
)

// Units are systemd's, as far as they are stopped and started.
type Units interface {
	// Running tells whether a unit runs. One that is not known is an error.
	Running(ctx context.Context, unit string) (bool, error)
	Stop(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	Close()
}

// systemd is the system's manager, over its private socket: there is one also
// where no D-Bus daemon runs.
type systemd struct{ conn *dbus.Conn }

var _ Units = systemd{}

// Systemd connects to the system's manager. The caller closes it.
func Systemd(ctx context.Context) (Units, error) {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		if conn, err = dbus.NewSystemConnectionContext(ctx); err != nil {
			return nil, fmt.Errorf("services: systemd does not answer: %w", err)
		}
	}
	return systemd{conn}, nil
}

func (s systemd) Close() { s.conn.Close() }

// property asks for a property of a unit that is a text.
func (s systemd) property(ctx context.Context, unit, name string) (string, error) {
	p, err := s.conn.GetUnitPropertyContext(ctx, unit, name)
	if err != nil {
		return "", fmt.Errorf("service %s: %w", unit, err)
	}
	text, ok := p.Value.Value().(string)
	if !ok {
		return "", fmt.Errorf("service %s: its %s is no text", unit, name)
	}
	return text, nil
}

func (s systemd) Running(ctx context.Context, unit string) (bool, error) {
	load, err := s.property(ctx, unit, "LoadState")
	if err != nil {
		return false, err
	}
	if load == "not-found" {
		return false, fmt.Errorf("service %s: systemd does not know it", unit)
	}
	state, err := s.property(ctx, unit, "ActiveState")
	return state == "active" || state == "activating" || state == "reloading", err
}

func (s systemd) Stop(ctx context.Context, unit string) error {
	return s.job(ctx, unit, "stop", s.conn.StopUnitContext)
}

func (s systemd) Start(ctx context.Context, unit string) error {
	return s.job(ctx, unit, "start", s.conn.StartUnitContext)
}

// job asks for one and waits for its end.
func (s systemd) job(ctx context.Context, unit, what string, ask func(context.Context, string, string, chan<- string) (int, error)) error {
	ended := make(chan string, 1)
	if _, err := ask(ctx, unit, "replace", ended); err != nil {
		return fmt.Errorf("%s service %s: %w", what, unit, err)
	}
	select {
	case result := <-ended:
		if result != "done" {
			return fmt.Errorf("%s service %s: its job ended as %q", what, unit, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s service %s: %w", what, unit, context.Cause(ctx))
	}
}

// noUnits stands in where nothing is to be stopped.
type noUnits struct{}

func (noUnits) Running(context.Context, string) (bool, error) {
	return false, errors.New("BUG: no unit was named")
}
func (noUnits) Stop(context.Context, string) error  { return nil }
func (noUnits) Start(context.Context, string) error { return nil }
func (noUnits) Close()                              {}
