package uinit

import (
	"context"
	"fmt"
	"time"

	"lifeboat/internal/speech"
)

// A supervisor runs the rescue command again and again until somebody wants the
// machine to end.
type supervisor struct {
	start    func(ctx context.Context, what program, tty string) (ending, string)                      // with its last words
	ask      func(ctx context.Context, text string, enter answer, wait time.Duration) (answer, string) // and on which console
	language speech.Language
	log      logger
	pause    time.Duration // before the second crash in a row is followed by a start; doubles
}

type program int

const (
	theRescue program = iota
	theShell
)

// answer is what a person at a console wants.
type answer int

const (
	again answer = iota // also where nobody is there
	wantShell
	wantReboot
	wantPoweroff
)

const (
	maxPause = time.Minute
	steady   = 10 * time.Minute // what ran so long begins to count anew
)

// run returns how the machine ends.
func (s *supervisor) run(ctx context.Context) reason {
	pause := s.pause
	for ctx.Err() == nil {
		began := time.Now()
		end, words := s.start(ctx, theRescue, "")
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > steady {
			pause = s.pause
		}
		s.log.logf("rescue command %s", end)
		var do answer
		var tty string
		switch {
		case end.Signal == 0 && end.Code == ExitReboot:
			return reasonReboot
		case end.Signal == 0 && end.Code == ExitPoweroff:
			return reasonPoweroff
		case end.Signal == 0 && end.Code == ExitShell:
			do, tty = s.ask(ctx, s.shellText(), wantShell, maxPause)
		default:
			do, tty = s.ask(ctx, s.crashText(end, words, pause), again, pause)
			pause = min(2*pause, maxPause)
		}
		switch do {
		case wantShell:
			s.start(ctx, theShell, tty)
		case wantReboot:
			return reasonReboot
		case wantPoweroff:
			return reasonPoweroff
		}
	}
	return reasonOf(ctx)
}

func (s *supervisor) shellText() string {
	return "\n" + s.language.T("Press Enter on the console where you want a shell, r to restart the machine, p to switch it off;\nwithout a key lifeboat goes on in a minute.") + "\n"
}

func (s *supervisor) crashText(end ending, words string, wait time.Duration) string {
	if words != "" {
		words = s.language.T("Its last words:") + "\n" + words + "\n"
	}
	return fmt.Sprintf("\n%s\n%s%s\n", s.language.T("The rescue program %s.", end.words()), words,
		s.language.T("Press s for a shell, r to restart the machine, p to switch it off, Enter to start the program again;\nwithout a key it is started again in %v.", wait))
}

// askOnConsoles shows the text on every console and waits for a key on any: it
// returns what was wanted, and the path of the console. The Enter key means
// enter; without a key the answer is again.
func askOnConsoles(ctx context.Context, text string, enter answer, wait time.Duration) (answer, string) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c, err := OpenConsoles(ConsolePaths(sysFS()))
	if err != nil {
		<-ctx.Done()
		return again, ""
	}
	defer c.Close()
	fmt.Fprint(c, text)
	t, err := c.claim(ctx)
	if err != nil {
		return again, ""
	}
	key := make([]byte, 1)
	for {
		if n, err := t.read(ctx, key); err != nil || n == 0 {
			return again, ""
		}
		switch key[0] {
		case 's', 'S':
			return wantShell, t.path
		case 'r', 'R':
			return wantReboot, ""
		case 'p', 'P':
			return wantPoweroff, ""
		case '\r', '\n':
			return enter, t.path
		}
	}
}
