package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lifeboat/clone/filesystem"
	"lifeboat/internal/fixture"
	"lifeboat/internal/nightly"
	"lifeboat/internal/speech"
)

// setUpBy answers the questions of setup, in the language of LANG, and returns
// all that was said and the configuration.
func setUpBy(t *testing.T, lang, answers string) (said, config string) {
	t.Helper()
	t.Setenv("TERM", "dumb")
	root := t.TempDir()
	cron := filepath.Join(root, "etc/cron.d/raspiBackup")
	if err := errors.Join(os.MkdirAll(filepath.Dir(cron), 0o755), os.WriteFile(cron, []byte("0 5 * * 0 root raspiBackup.sh\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := &env{stdin: strings.NewReader(answers), stdout: &out, stderr: &out, terminal: true, have: filesystem.Have, clock: time.Now, language: speech.Named(lang)}
	if code := execute(t.Context(), e, []string{"setup", "--root=" + root}); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &out)
	}
	text, err := os.ReadFile(filepath.Join(root, setupConfig))
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), string(text)
}

// answers are: a wrong place and a right one; a time that is none, and Sundays; GFS; an image as well; by
// mail, after each; raspiBackup off; yes.
const answers = "nowhere\n/mnt/nas\n3\nsometimes\nSun *-*-* 02:30\n1\n2\n2\nme@example.org\n2\n1\n1\n"

// TestSetupAsks holds what the answers come to.
func TestSetupAsks(t *testing.T) {
	fixture.Need(t, "systemctl", "systemd-analyze")
	_, config := setUpBy(t, "C", answers)
	want := `# Written by lifeboat setup. All keys: lifeboat config keys
notify.mail.to = ["me@example.org"]
notify.on = "all"
to = "/mnt/nas"

[schedule.nightly]
keep-daily = 7
keep-monthly = 12
keep-weekly = 4
when = "Sun *-*-* 02:30"

[schedule.weekly]
keep = 4
type = "img.gz"
when = "Sun *-*-* 04:30"
`
	if config != want {
		t.Errorf("got\n%s\nwant\n%s", config, want)
	}
	if _, err := nightly.Parse("x", config); err != nil {
		t.Error(err)
	}
}

// TestSetupIsTranslated marks what went through the catalogue: nothing that
// setup says may stand outside of the marks, but for the configuration itself,
// the numbers of a menu and what was typed. Then in German: there the same
// answers come to the same.
func TestSetupIsTranslated(t *testing.T) {
	fixture.Need(t, "systemctl", "systemd-analyze")
	marked, config := setUpBy(t, "xx", answers)
	for line := range strings.Lines(marked) {
		line = strings.TrimSpace(line)
		rest := regexp.MustCompile(`⟦[^⟧]*⟧`).ReplaceAllString(line, "")
		rest = regexp.MustCompile(`[0-9: –]+`).ReplaceAllString(rest, "")
		if rest != "" && !strings.Contains(config, line) {
			t.Errorf("%q stands outside of the catalogue", line)
		}
	}
	if strings.Count(marked, "⟦") < 25 {
		t.Errorf("it said little:\n%s", marked)
	}
	german, same := setUpBy(t, "de_DE.UTF-8", answers)
	if same != config {
		t.Errorf("in German it is\n%s", same)
	}
	for _, want := range []string{"Wohin soll gesichert werden", "Jede Nacht um 02:30", "Soll das abgeschaltet werden?", "Fertig. Zur Probe:"} {
		if !strings.Contains(german, want) {
			t.Errorf("no %q in\n%s", want, german)
		}
	}
	for _, english := range []string{"When", "Where", "What", "Who", "Every", "Yes", "will be"} {
		if strings.Contains(german, english) {
			t.Errorf("%q in\n%s", english, german)
		}
	}
}
