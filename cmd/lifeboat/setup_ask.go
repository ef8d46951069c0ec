package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"lifeboat/internal/nightly"
	"lifeboat/internal/speech"
)

// newTerminalAsker asks at the terminal that lifeboat was started on.
func (e *env) newTerminalAsker() asker {
	in, isFile := e.stdin.(*os.File)
	if kind := os.Getenv("TERM"); !isFile || kind == "" || kind == "dumb" {
		lines := bufio.NewReader(e.stdin)
		return lineAsker{e.language, e.stderr, func(ctx context.Context, prompt string) (string, error) {
			io.WriteString(e.stderr, prompt)
			return readLine(ctx, lines)
		}}
	}
	return promptAsker{func(context.Context) (io.ReadWriter, func() error, error) {
		state, err := term.MakeRaw(int(in.Fd()))
		back := func() error { return term.Restore(int(in.Fd()), state) }
		return struct {
			io.Reader
			io.Writer
		}{in, e.stderr}, back, err
	}}
}

// A draft becomes a configuration.
type draft struct {
	flags    map[string][]string // for all schedules
	schedule map[string][]string // for the nightly one
	weekly   bool
	judge    func(ctx context.Context, when string) error // tells a time that is none
	told     io.Writer                                    // why something is asked again
}

// questions asks what no flag has said.
func (d *draft) questions(ctx context.Context, a asker, l speech.Language) error {
	d.schedule = map[string][]string{}
	for _, ask := range []func(context.Context, asker, speech.Language) error{d.where, d.when, d.keep, d.image, d.whom} {
		if err := ask(ctx, a, l); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) where(ctx context.Context, a asker, l speech.Language) error {
	for d.flags["to"] == nil {
		to, err := a.line(ctx, l.T("Where do backups go (a folder, nfs:HOST:/PATH, smb://HOST/SHARE, UUID=…, sftp://USER@HOST/PATH, s3://BUCKET/PATH)"))
		if err != nil {
			return err
		}
		if _, err := nightly.ParseDestination(to); err != nil {
			fmt.Fprintln(d.told, l.T("That is no place for backups. A folder is given with its whole path: /mnt/nas"))
			continue
		}
		d.flags["to"] = []string{to}
	}
	return nil
}

func (d *draft) when(ctx context.Context, a asker, l speech.Language) error {
	if d.flags["when"] != nil {
		return nil
	}
	i, err := a.choose(ctx, l.T("When?"), []string{l.T("Every night at 02:30"), l.T("Every Sunday at 02:30"), l.T("At other times")})
	if err != nil {
		return err
	}
	when := []string{"*-*-* 02:30", "Sun *-*-* 02:30", ""}[i]
	for i == 2 {
		if when, err = a.line(ctx, l.T("When (as systemd.time(7) has it: Mon,Thu *-*-* 23:00)")); err != nil {
			return err
		}
		if d.judge(ctx, when) == nil {
			break
		}
		fmt.Fprintln(d.told, l.T("systemd does not understand that time."))
	}
	d.schedule["when"] = []string{when}
	return nil
}

func (d *draft) keep(ctx context.Context, a asker, l speech.Language) error {
	for key := range d.flags {
		if strings.HasPrefix(key, "keep") {
			return nil
		}
	}
	i, err := a.choose(ctx, l.T("What is kept?"), []string{l.T("Of 7 days, 4 weeks and 12 months one each"), l.T("The last 7"), l.T("All")})
	switch i {
	case 0:
		d.schedule["keep-daily"], d.schedule["keep-weekly"], d.schedule["keep-monthly"] = []string{"7"}, []string{"4"}, []string{"12"}
	case 1:
		d.schedule["keep"] = []string{"7"}
	case 2:
		d.schedule["keep"] = []string{"-1"}
	}
	return err
}

func (d *draft) image(ctx context.Context, a asker, l speech.Language) error {
	to, err := nightly.ParseDestination(d.flags["to"][0])
	if err != nil || to.Address != "" || d.flags["type"] != nil {
		return nil // an image has no place at an address
	}
	i, err := a.choose(ctx, l.T("Every Sunday also an image that Raspberry Pi Imager can write (.img.gz, the last 4)?"), []string{l.T("No"), l.T("Yes")})
	d.weekly = i == 1
	return err
}

func (d *draft) whom(ctx context.Context, a asker, l speech.Language) error {
	for key := range d.flags {
		if strings.HasPrefix(key, "notify.") {
			return nil
		}
	}
	i, err := a.choose(ctx, l.T("Who is told?"), []string{l.T("Nobody; the journal has it all"), l.T("Somebody by mail (the local sendmail)"), l.T("A telephone, by ntfy")})
	if err != nil || i == 0 {
		return err
	}
	key, question := "notify.mail.to", l.T("Mail address")
	if i == 2 {
		key, question = "notify.ntfy.url", l.T("Address of the topic (https://ntfy.sh/…)")
	}
	to, err := a.line(ctx, question)
	if err != nil {
		return err
	}
	d.flags[key] = []string{to}
	i, err = a.choose(ctx, l.T("When is it told?"), []string{l.T("When something is wrong"), l.T("After every backup")})
	d.flags["notify.on"] = []string{[]string{"errors", "all"}[i]}
	return err
}

// write makes the file's text.
func (d *draft) write(schedule string) (string, error) {
	if schedule == "" {
		schedule = nightly.Only
	}
	if err := nightly.CheckSchedule(schedule); err != nil {
		return "", usageError{fmt.Errorf("--schedule: %w", err)}
	}
	var out strings.Builder
	out.WriteString("# Written by lifeboat setup. All keys: lifeboat config keys\n")
	section := func(keys map[string][]string) error {
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			line, err := nightly.Line(key, keys[key]...)
			if err != nil {
				return usageError{err}
			}
			out.WriteString(line + "\n")
		}
		return nil
	}
	if err := section(d.flags); err != nil {
		return "", err
	}
	out.WriteString("\n[schedule." + schedule + "]\n")
	if err := section(d.schedule); err != nil {
		return "", err
	}
	if !d.weekly {
		return out.String(), nil
	}
	out.WriteString("\n[schedule.weekly]\n")
	err := section(map[string][]string{"when": {"Sun *-*-* 04:30"}, "type": {"img.gz"}, "keep": {"4"}})
	return out.String(), err
}
