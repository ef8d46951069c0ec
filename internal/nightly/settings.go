package nightly

import (
	"time"

	"lifeboat/clone/increment"
)

// Settings are all that can be configured, of one schedule. keys.go names each
// field as its users know it.
type Settings struct {
	From   string // "/": the running system's disk
	To     string // a folder, what to mount, or an address: ParseDestination
	Folder string // in it; "" is none for a repository, else made of host name and machine ID
	Type   string // of the backup: one of Types()

	Repository Repository
	Exclude    Exclude

	When   string // systemd.time(7), OnCalendar
	Spread time.Duration

	Level      int
	LongFreeze bool // of a kernel without tracing: writers wait while all is read
	Keep       Policy
	MinFree    int64 // bytes that stay free at the destination
	Wait       time.Duration
	LockWait   time.Duration
	LowMemory  int64 // bytes; below, the copying waits

	MountOptions string
	Credentials  string // file or systemd credential, for smb, davfs, sftp, s3

	Services    []string // systemd units, stopped in this order
	Stop, Start []string // command lines, around the units
	Patience    time.Duration

	Before, Ready, After []string // programs

	LogLevel  string
	LogFolder string
	LogKeep   int
	Metrics   string // file
	Remind    Reminder
	Language  string
	Notify    Notify
}

// Repository says how snapshots are kept. Its files are secrets, or systemd
// credentials.
type Repository struct {
	Series       string   // which system's snapshots these are; "" is found out
	Passphrase   string   // file: opens it, and encrypts one that is made
	Identity     string   // file: opens one that is encrypted for its recipient
	Recipients   []string // of age: for whom one that is made is encrypted
	Sign         string   // file: minisign key
	FullEvery    int      // each Nth run reads all, also what cannot have changed
	Prune        string   // "daily", "weekly", "never"
	VerifySample Percent  // of this system's chunks, after each run
}

// Exclude can have no value: excludeWhy says why.
type Exclude struct{}

// A Reminder is how often it is said that a restore should be tried.
type Reminder struct {
	Months int // 0 is never
	Times  int
}

// Notify says who is told what.
type Notify struct {
	On       string // "errors", "all", "start"
	Log      bool   // send the log along
	Mail     Mail
	Ntfy     Ntfy
	Telegram Telegram
	Pushover Pushover
	Slack    Slack
	Webhook  Webhook
}

// Mail goes to To by Server, or by the local sendmail where that is "".
type Mail struct {
	To           []string
	From         string
	Server       string
	Port         int
	TLS          string // "starttls", "tls", "none"
	User         string
	PasswordFile string
	Sendmail     string // program
}

// Ntfy is a topic's address.
type Ntfy struct{ URL, TokenFile string }

// Telegram is a bot, and the chat that it writes to.
type Telegram struct{ TokenFile, Chat, Thread, Server string }

// Pushover is an application and a user.
type Pushover struct {
	TokenFile, UserFile, Device, Server string
	PriorityFailure                     int
}

// Slack is an incoming webhook, whose address is a secret.
type Slack struct{ URLFile string }

// Webhook takes a JSON object.
type Webhook struct{ URL, TokenFile string }

// Defaults hold where nothing is configured.
func Defaults() Settings {
	return Settings{
		From: "/", Type: SnapshotType, When: "*-*-* 02:30", Spread: 15 * time.Minute,
		MinFree: 64 << 20, Wait: 3 * time.Minute, LockWait: time.Hour, LowMemory: 48 << 20,
		Patience:   2 * time.Minute,
		Repository: Repository{FullEvery: increment.Every, Prune: "weekly", VerifySample: 1},
		LogLevel:   "info", LogFolder: "/var/log/lifeboat", LogKeep: 30,
		Remind: Reminder{Months: 6, Times: 3},
		Notify: Notify{
			On:       "all",
			Mail:     Mail{Port: 587, TLS: "starttls", Sendmail: "/usr/sbin/sendmail"},
			Telegram: Telegram{Server: "https://api.telegram.org"},
			Pushover: Pushover{Server: "https://api.pushover.net", PriorityFailure: 1},
		},
	}
}
