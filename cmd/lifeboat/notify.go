package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"lifeboat/clone"
	"lifeboat/internal/nightly"
	"lifeboat/internal/speech"
)

func newNotify(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Tell people how backups went: test the channels",
		Args:  args(1, 1),
	}
	cmd.AddCommand(newNotifyTest(e))
	return cmd
}

func newNotifyTest(e *env) *cobra.Command {
	o := configOptions{}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send a test notice by each channel that is configured",
		Long: `Sends a test notice by each channel that is configured (notify.mail, ntfy,
telegram, pushover, slack, webhook), and says of each whether it was taken. Keys
can be given as flags, to try before writing them down.`,
		Example: `  lifeboat notify test
  lifeboat notify test --notify-ntfy-url=https://ntfy.sh/my-pi-4711`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runNotifyTest(cmd.Context(), e, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runNotifyTest(ctx context.Context, e *env, o configOptions) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	told := false
	var errs []error
	for _, name := range o.schedules(c) {
		s, err := c.Of(name)
		if err != nil {
			return err
		}
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		crier, err := nightly.NewCrier(s.Notify, e.client, hostVault(), host, e.logf)
		if err != nil {
			return err
		}
		m := nightly.Say(e.languageOf(s), nightly.Facts{Kind: nightly.Test, Host: host, Schedule: name}, nil)
		crier.Each(ctx, m, func(channel string, err error) {
			told = true
			if errs = append(errs, err); err == nil {
				fmt.Fprintf(e.stdout, "%s: %s: sent\n", name, channel)
			}
		})
	}
	if !told {
		return &clone.Refusal{Err: errors.New("no channel is configured"), Hint: "lifeboat config keys lists them: notify.…"}
	}
	return errors.Join(errs...)
}

// languageOf is the language that a person is met in.
func (e *env) languageOf(s nightly.Settings) speech.Language {
	if s.Language != "" {
		return speech.Named(s.Language)
	}
	return e.language
}
