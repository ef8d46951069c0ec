package nightly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, texts ...string) (*Config, error) {
	t.Helper()
	var layers []Layer
	for i, text := range texts {
		layers = append(layers, Layer{write(t, filepath.Join(t.TempDir(), string(rune('a'+i))+".toml"), text), true})
	}
	return Load(layers, os.Getuid())
}

// TestPrecedence gives one key in each layer, one after the other.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	c, err := load(t,
		"keep = 1\nto = '/a'\n[schedule.nightly]\n\n[schedule.weekly]\nkeep = 5\n",
		"# comment\nkeep = 2\n[notify]\nlog = true\n",
		"keep = 3\nhooks.before = [\n  '/bin/a',\n  '/bin/b', # two\n]\nto = '''\n/c'''\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Schedules(), " "); got != "nightly weekly" {
		t.Errorf("schedules are %q", got)
	}
	check := func(schedule, key, text, where string) {
		t.Helper()
		s, err := c.Of(schedule)
		if err != nil {
			t.Fatal(err)
		}
		k, _ := keyOf(key)
		if got := k.Text(&s); got != text {
			t.Errorf("%s of %s is %s, want %s", key, schedule, got, text)
		}
		if got := c.Where(schedule, key); !strings.HasSuffix(got, where) {
			t.Errorf("%s of %s comes from %s, want %s", key, schedule, got, where)
		}
	}
	check("nightly", "keep", "3", "c.toml:1")
	check("weekly", "keep", "5", "a.toml:6")
	check("weekly", "to", `"/c"`, "c.toml:6")
	check("weekly", "notify.log", "true", "b.toml:4")
	check("weekly", "hooks.before", `["/bin/a", "/bin/b"]`, "c.toml:2")
	check("weekly", "spread", `"15m"`, "default")
	check("weekly", "min-free", `"64MiB"`, "default")
	for name, texts := range map[string][]string{"keep": {"9"}, "notify.log": {"false"}, "hooks.before": {""}, "spread": {"1h"}} {
		if err := c.Flag(name, texts...); err != nil {
			t.Fatal(err)
		}
	}
	check("weekly", "keep", "9", "--keep")
	check("nightly", "notify.log", "false", "--notify-log")
	check("nightly", "hooks.before", "[]", "--hooks-before")
	check("nightly", "spread", `"1h"`, "--spread")
}

func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"\nkeeep = 1\n", `a.toml:2: lifeboat knows no key "keeep"`},
		{"[notify]\nmail.too = 'x'", `a.toml:2: lifeboat knows no key "notify.mail.too"`},
		{"[schedule.weekly]\nkeep_daily = 1", `a.toml:2: lifeboat knows no key "schedule.weekly.keep_daily"; "keep-daily"?`},
		{"\n[nottify]\n", `a.toml:2: lifeboat knows no table "nottify"`},
		{"[schedule.'a b']\n", `a.toml:1: a schedule's name has a-z, 0-9 and _ only, not "a b"`},
		{"[schedule]\nkeep = 1\n", `a.toml:2: lifeboat knows no key "schedule.keep"`},
		{"keep = 'many'", "a.toml:1: keep is a number"},
		{"keep = 1.5", "a.toml:1: keep is a number"},
		{"keep-daily = -7", "a.toml:1: keep-daily is at least -1, not -7"},
		{"level = 10", "a.toml:1: level is at most 9, not 10"},
		{"remind.months = -1", "a.toml:1: remind.months is at least 0, not -1"},
		{"log.keep = 99999999999", "a.toml:1: log.keep is at most 2147483647, not 99999999999"},
		{"repository.full-every = 0", "a.toml:1: repository.full-every is at least 1, not 0"},
		{"repository.series = 'zz'", `a.toml:1: repository.series has 16 hex digits, not "zz"`},
		{"notify.mail.port = 0", "a.toml:1: notify.mail.port is at least 1, not 0"},
		{"notify.pushover.priority-failure = 2", "a.toml:1: notify.pushover.priority-failure is at most 1, not 2"},
		{"type = 'img.xz'", `a.toml:1: type is one of snapshot, img.zst, img.gz, img, not "img.xz"`},
		{"exclude = ['/var/cache']", "a.toml:1: exclude: a backup is the whole disk at one instant"},
		{"exclude = '/var/cache'", "a.toml:1: exclude: a backup is the whole disk at one instant"},
		{"repository.verify-sample = '200%'", `a.toml:1: repository.verify-sample: "200%" is no percentage`},
		{"repository.verify-sample = 5", "a.toml:1: repository.verify-sample is a text"},
		{"repository.prune = 'hourly'", "a.toml:1: repository.prune is one of daily, weekly, never"},
		{"spread = 5", `a.toml:1: spread is a text, in quotes: "15m"`},
		{"spread = '5 minutes'", "a.toml:1: spread: time: unknown unit"},
		{"min-free = '5 parsecs'", "a.toml:1: min-free: \"5 parsecs\" is no size"},
		{"services = [1]", "a.toml:1: services is a list of texts"},
		{"notify.log = 'yes'", "a.toml:1: notify.log is true or false"},
		{"keep = 1\nkeep = 2\n", "a.toml: line 2: "},
		{"keep = ", "a.toml: line 1: "},
		{"[[schedule]]\nkeep = 1\n", `a.toml:1: lifeboat knows no key "schedule"`},
		{strings.Repeat("a.", 40) + "b = 1", "a key of more than 16 words"},
	} {
		if _, err := load(t, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
}

// TestNotTrusted holds that root starts nothing on a stranger's word.
func TestNotTrusted(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "a.toml"), "keep = 1\n")
	if _, err := Load([]Layer{{path, true}}, os.Getuid()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]Layer{{path, true}}, os.Getuid()); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("a file that its group can write: %v", err)
	}
	if os.Getuid() == 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 4711, 4711); err != nil {
			t.Fatal(err)
		}
		if _, err := Load([]Layer{{path, true}}, 0); err == nil || !strings.Contains(err.Error(), "belongs to user 4711") {
			t.Errorf("a stranger's file: %v", err)
		}
		if _, err := Load([]Layer{{path, true}}, 4711); err != nil {
			t.Errorf("the file of who called sudo: %v", err)
		}
	}
	if _, err := Load([]Layer{{path + "x", true}}, 0); err == nil {
		t.Error("a file that was asked for is not there, and nothing is said")
	}
	if _, err := Load([]Layer{{path + "x", false}}, 0); err != nil {
		t.Errorf("a file that need not be there: %v", err)
	}
}

// TestKeysRoundTrip holds that each default, written as Text has it, is read
// back, and that flags differ.
func TestKeysRoundTrip(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range Keys() {
		s := Defaults()
		text := k.Text(&s)
		c, err := load(t, k.Name+" = "+text+"\n")
		if err != nil {
			t.Errorf("%s = %s: %v", k.Name, text, err)
			continue
		}
		back, err := c.Of(Only)
		if err != nil || k.Text(&back) != text {
			t.Errorf("%s = %s comes back as %s, %v", k.Name, text, k.Text(&back), err)
		}
		if seen[FlagName(k.Name)] || k.Help == "" {
			t.Errorf("%s: a flag twice, or without help", k.Name)
		}
		seen[FlagName(k.Name)] = true
	}
	for text, want := range map[string]int64{"5": 5, "5B": 5, "64MiB": 64 << 20, "8 GB": 8e9, "1TiB": 1 << 40} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 5 * time.Second: "5s", 0: "0s"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v is written %q", d, got)
		}
	}
}

// FuzzStatements holds that taking a file apart finds what the library finds in
// the whole, at lines that are there.
func FuzzStatements(f *testing.F) {
	for _, text := range []string{"a = 1\n[b.c]\nd = [\n1,\n2]\n", "x.y='''\n\n'''\n", "[[t]]\na=1\n[[t]]\na=2", "a = {b = 1}\r\n#x\r\n", "[a]\n[a.b]\nc=1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		all, err := statements(text)
		if err != nil {
			return
		}
		var tree map[string]any
		meta, err := toml.Decode(text, &tree)
		if err != nil {
			t.Fatalf("accepted what is no TOML: %v", err)
		}
		found := map[string]bool{}
		for _, g := range all {
			found[strings.Join(g.path, "\x00")] = true
			if g.line < 1 || g.line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d of %q", g.line, text)
			}
		}
		for _, key := range meta.Keys() {
			if !found[strings.Join(key, "\x00")] {
				t.Errorf("%q of %q was not found", key, text)
			}
		}
	})
}
