package nightly

import (
	"fmt"
	"slices"
	"strings"
)

// A UnitFile is one of systemd's.
type UnitFile struct{ Name, Text string }

// TimerName is the unit that starts a schedule.
func TimerName(schedule string) string { return "lifeboat-" + schedule + ".timer" }

// UnitFiles are service and timer of a schedule. program is lifeboat's path.
func UnitFiles(program, schedule string, s Settings) []UnitFile {
	var credentials strings.Builder
	for _, name := range s.credentialNames() {
		fmt.Fprintf(&credentials, "LoadCredential=%s\n", name)
	}
	service := fmt.Sprintf(`# Written by lifeboat setup.
[Unit]
Description=lifeboat: backup "%[2]s"
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=oneshot
ExecStart=%[1]s nightly --schedule=%[2]s
# Whatever ended the run: starts again what it had stopped, and tells.
ExecStopPost=%[1]s nightly recover
# 5: done, with reservations that were told.
SuccessExitStatus=5
# The run itself gets a chance to clean up; what it started goes after it.
KillMode=mixed
TimeoutStopSec=5min
RuntimeDirectory=lifeboat
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
OOMScoreAdjust=200
# Keys for servers, and whom to trust, lie in root's home.
Environment=HOME=%%h
%[3]s`, program, schedule, credentials.String())
	timer := fmt.Sprintf(`# Written by lifeboat setup.
[Unit]
Description=lifeboat: start of backup "%s"

[Timer]
OnCalendar=%s
# Many Pis do not wake one NAS at once.
RandomizedDelaySec=%d
# A start that was missed is made up for when the system is up again.
Persistent=true

[Install]
WantedBy=timers.target
`, schedule, s.When, int64(s.Spread.Seconds()))
	name := strings.TrimSuffix(TimerName(schedule), ".timer")
	return []UnitFile{{name + ".service", service}, {name + ".timer", timer}}
}

// credentialNames are the secrets that systemd hands over: those without a
// slash. It looks for them in /etc/credstore.
func (s Settings) credentialNames() []string {
	var names []string
	for _, k := range Keys() {
		at, ok := k.At(&s).(*string)
		if ok && strings.HasSuffix(k.Name, "-file") && *at != "" && !strings.Contains(*at, "/") {
			names = append(names, *at)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Line is a line of a configuration file: a key with what was given for it as
// text.
func Line(key string, texts ...string) (string, error) {
	c := &Config{given: map[string]value{}, flags: map[string]value{}}
	if err := c.Flag(key, texts...); err != nil {
		return "", err
	}
	return c.Line(Only, key)
}

// Line is how a schedule's value of a key would be written.
func (c *Config) Line(schedule, key string) (string, error) {
	s, err := c.Of(schedule)
	if err != nil {
		return "", err
	}
	k, _ := keyOf(key)
	return key + " = " + k.Text(&s), nil
}

// Parse reads one configuration, as it would lie at path.
func Parse(path, text string) (*Config, error) {
	c := &Config{given: map[string]value{}, flags: map[string]value{}}
	return c, c.add(path, text)
}
