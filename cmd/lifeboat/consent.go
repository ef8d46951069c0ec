package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"lifeboat/clone"
	"lifeboat/clone/disk"
	"lifeboat/internal/speech"
)

// consent asks a person for the word of the target. word is what --yes gave;
// what is a sentence that says what will happen to the disk.
func (e *env) consent(word string, what speech.Text) disk.Consent {
	if word != "" {
		return disk.Say(word)
	}
	return func(ctx context.Context, f disk.Facts) error {
		if !e.terminal {
			return &clone.Refusal{
				Err:  fmt.Errorf("%w: nobody is there to agree that %s is written to", disk.ErrNoConsent, f.Disk.Path),
				Hint: "look at the plan with --dry-run, then give --yes=" + f.Word,
			}
		}
		fmt.Fprint(e.stderr, e.language.T("%s Type %s to go on", what, f.Word)+": ")
		answer, err := readLine(ctx, e.stdin)
		if err != nil {
			return err
		}
		return disk.Say(answer)(ctx, f)
	}
}

// readLine reads one line, and gives up when ctx ends.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	type reply struct {
		line string
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		line, err := bufio.NewReader(r).ReadString('\n')
		replies <- reply{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-replies:
		if got.err != nil && got.line == "" {
			return "", fmt.Errorf("%w: %v", disk.ErrNoConsent, got.err)
		}
		return strings.TrimSpace(got.line), nil
	}
}
