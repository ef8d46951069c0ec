package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lifeboat/internal/nightly"
)

// configOptions are the flags of all commands that are configured: each key is
// one.
type configOptions struct {
	file     string
	schedule string
	set      map[string]*textsFlag // by key
}

// A textsFlag takes any text, and any number of them.
type textsFlag struct {
	texts []string
	kind  string
}

var _ pflag.Value = (*textsFlag)(nil)

func (f *textsFlag) String() string        { return strings.Join(f.texts, ",") }
func (f *textsFlag) Set(text string) error { f.texts = append(f.texts, text); return nil }
func (f *textsFlag) Type() string          { return f.kind }

func (o *configOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.file, "config", "", "one more configuration `FILE`, which beats the others")
	f.StringVar(&o.schedule, "schedule", "", "the schedule of this `NAME`")
	o.set = map[string]*textsFlag{}
	defaults := nightly.Defaults()
	for _, k := range nightly.Keys() {
		at := k.At(&defaults)
		v := &textsFlag{kind: "TEXT"}
		help := k.Help
		switch at.(type) {
		case *bool:
			v.kind = "bool"
		case *int:
			v.kind = "N"
		case *[]string:
			v.kind, help = "TEXT", help+" (can be given again)"
		}
		if k.May != nil {
			help += ": " + strings.TrimPrefix(strings.Join(k.May, ", "), ", ")
		}
		if text := k.Text(&defaults); text != `""` && text != "[]" && text != "0" && text != "false" {
			help += " (default " + text + ")"
		}
		flag := f.VarPF(v, nightly.FlagName(k.Name), "", help)
		if v.kind == "bool" {
			flag.NoOptDefVal = "true"
		}
		o.set[k.Name] = v
	}
}

// load reads all layers of configuration.
func (o *configOptions) load() (*nightly.Config, error) {
	home, uid := caller()
	c, err := nightly.Load(nightly.Layers(home, o.file), uid)
	if err != nil {
		return nil, err
	}
	for key, v := range o.set {
		if len(v.texts) == 0 {
			continue
		}
		if err := c.Flag(key, v.texts...); err != nil {
			return nil, usageError{fmt.Errorf("--%s: %w", nightly.FlagName(key), err)}
		}
	}
	if o.schedule != "" && !c.Has(o.schedule) {
		return nil, usage("no schedule %q is configured: there is %s", o.schedule, strings.Join(c.Schedules(), ", "))
	}
	return c, nil
}

// schedules are those that are meant: the one that was named, else all.
func (o *configOptions) schedules(c *nightly.Config) []string {
	if o.schedule != "" {
		return []string{o.schedule}
	}
	return c.Schedules()
}

// caller is who called: with sudo, who called that.
func caller() (home string, uid int) {
	uid = os.Getuid()
	if n, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil && uid == 0 {
		if u, err := user.LookupId(strconv.Itoa(n)); err == nil {
			return u.HomeDir, n
		}
	}
	home, _ = os.UserHomeDir() // without one there is no such layer
	return home, uid
}

func newConfig(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "What is configured for nightly backups, and where",
		Args:  args(1, 1),
	}
	cmd.AddCommand(newConfigShow(e), newConfigKeys(e))
	return cmd
}

func newConfigShow(e *env) *cobra.Command {
	o := configOptions{}
	all := false
	cmd := &cobra.Command{
		Use:   "show",
		Short: "What holds for each schedule, and where each value comes from",
		Long: `Prints what holds for each schedule, each value with the place that it comes
from: the line of a file, a flag, or with --all also the defaults.

Files, from weak to strong: /etc/lifeboat/lifeboat.toml,
~/.config/lifeboat/lifeboat.toml, ./lifeboat.toml, --config=FILE. Every key is a
flag of "nightly" too: the dots become dashes.`,
		Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error { return runConfigShow(e, o, all) },
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "the defaults too")
	return cmd
}

// shownValue is a line of config show.
type shownValue struct {
	Schedule string `json:"schedule"`
	Key      string `json:"key"`
	Value    string `json:"value"` // as TOML
	From     string `json:"from"`
}

// userinfo is that of a URL, with a password.
var userinfo = regexp.MustCompile(`://([^/@:"\s]*):[^/"\s]*@`)

// redacted is text without the passwords in its addresses: what is shown gets sent
// around when people ask for help. (xxxxx is what url.URL.Redacted has.)
func redacted(text string) string { return userinfo.ReplaceAllString(text, "://$1:xxxxx@") }

func runConfigShow(e *env, o configOptions, all bool) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	var lines []shownValue
	for _, name := range o.schedules(c) {
		s, err := c.Of(name)
		if err != nil {
			return err
		}
		for _, k := range nightly.Keys() {
			if from := c.Where(name, k.Name); all || from != "default" {
				lines = append(lines, shownValue{name, k.Name, redacted(k.Text(&s)), from})
			}
		}
	}
	if e.json {
		return json.NewEncoder(e.stdout).Encode(lines)
	}
	if len(lines) == 0 {
		fmt.Fprintln(e.stdout, "nothing is configured: lifeboat setup does it; lifeboat config show --all prints the defaults")
	}
	out := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	last := ""
	for _, l := range lines {
		if l.Schedule != last {
			fmt.Fprintf(out, "[schedule.%s]\n", l.Schedule)
			last = l.Schedule
		}
		fmt.Fprintf(out, "%s = %s\t# %s\n", l.Key, l.Value, l.From)
	}
	return out.Flush()
}

func newConfigKeys(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "keys",
		Short: "All keys, with their meaning and default",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			defaults := nightly.Defaults()
			var errs []error
			for _, k := range nightly.Keys() {
				help := k.Help
				if k.May != nil {
					help += ": " + strings.TrimPrefix(strings.Join(k.May, ", "), ", ")
				}
				_, err := fmt.Fprintf(e.stdout, "# %s\n%s = %s\n", help, k.Name, k.Text(&defaults))
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
}
