package nightly

import "slices"

// A Key is one thing that can be configured, as its users know it.
type Key struct {
	Name string // "notify.mail.to"
	Help string
	At   func(s *Settings) any // a pointer to its field
	May  []string              // the values that it can have; nil: any
}

// SnapshotType is the kind of backup that goes into a repository.
const SnapshotType = "snapshot"

// ImageTypes are the kinds of backup that are a file each.
func ImageTypes() []string { return []string{"img.zst", "img.gz", "img"} }

// Types are the kinds of backup.
func Types() []string { return append([]string{SnapshotType}, ImageTypes()...) }

// Keys are all keys, by theme.
func Keys() []Key {
	return slices.Concat(saveKeys(), repositoryKeys(), runKeys(), notifyKeys())
}

func saveKeys() []Key {
	return []Key{
		{"from", "what is saved: / is the running system's disk", func(s *Settings) any { return &s.From }, nil},
		{"to", "where to: a folder, nfs:HOST:/PATH, smb://HOST/SHARE, sshfs:USER@HOST:/PATH, davfs:https://…, UUID=…, LABEL=…; snapshots also to sftp://USER@HOST/PATH and s3://BUCKET/PATH", func(s *Settings) any { return &s.To }, nil},
		{"folder", "folder there: of the repository (empty: none), or of this Pi's images (empty: host name and machine ID)", func(s *Settings) any { return &s.Folder }, nil},
		{"type", "kind of backup: snapshot goes into a repository, the others are images", func(s *Settings) any { return &s.Type }, Types()},
		{"exclude", "can have no value: " + excludeWhy, func(s *Settings) any { return &s.Exclude }, nil},
		{"level", "how hard an image is packed, 1 to 9; 0: as the format's own tool does", func(s *Settings) any { return &s.Level }, nil},
		{"allow-long-freeze", "a kernel without tracing: let writers wait while all used blocks are read", func(s *Settings) any { return &s.LongFreeze }, nil},
		{"when", "start times, as systemd.time(7) has them", func(s *Settings) any { return &s.When }, nil},
		{"spread", "starts are put off by a random time up to this", func(s *Settings) any { return &s.Spread }, nil},
		{"keep", "snapshots to keep; -1: all", func(s *Settings) any { return &s.Keep.Last }, nil},
		{"keep-daily", "days of which the newest stays", func(s *Settings) any { return &s.Keep.Daily }, nil},
		{"keep-weekly", "weeks of which the oldest stays", func(s *Settings) any { return &s.Keep.Weekly }, nil},
		{"keep-monthly", "months of which the oldest stays", func(s *Settings) any { return &s.Keep.Monthly }, nil},
		{"keep-yearly", "years of which the oldest stays", func(s *Settings) any { return &s.Keep.Yearly }, nil},
		{"min-free", "room that stays free at the destination", func(s *Settings) any { return (*Size)(&s.MinFree) }, nil},
		{"wait", "how long to try for a destination that sleeps", func(s *Settings) any { return &s.Wait }, nil},
		{"mount-options", "options for the mount of the destination", func(s *Settings) any { return &s.MountOptions }, nil},
		{"credentials-file", "file or systemd credential that says who we are: SMB and WebDAV (username=…, password=…), sftp (a private key), s3 (as Amazon's tools have it)", func(s *Settings) any { return &s.Credentials }, nil},
	}
}

func repositoryKeys() []Key {
	return []Key{
		{"repository.series", "whose snapshots these are, by 16 hex digits; empty: found out", func(s *Settings) any { return &s.Repository.Series }, nil},
		{"repository.passphrase-file", "file or systemd credential with the passphrase of an encrypted repository", func(s *Settings) any { return &s.Repository.Passphrase }, nil},
		{"repository.identity-file", "file or credential with the age identity that opens it", func(s *Settings) any { return &s.Repository.Identity }, nil},
		{"repository.recipients", "for whom a repository is encrypted when the first run makes it (age1…)", func(s *Settings) any { return &s.Repository.Recipients }, nil},
		{"repository.sign-file", "file or credential with the minisign key (without a password) that signs snapshots", func(s *Settings) any { return &s.Repository.Sign }, nil},
		{"repository.full-every", "each Nth run of these reads all, the others what may have changed", func(s *Settings) any { return &s.Repository.FullEvery }, nil},
		{"repository.prune", "how often the room that no snapshot needs is freed; never: somebody else does it", func(s *Settings) any { return &s.Repository.Prune }, []string{"daily", "weekly", "never"}},
		{"repository.verify-sample", "how much of this Pi's snapshots is read back after each run, another part each time", func(s *Settings) any { return &s.Repository.VerifySample }, nil},
	}
}

func runKeys() []Key {
	return []Key{
		{"services", "systemd units to stop around the freeze, in this order; started in reverse", func(s *Settings) any { return &s.Services }, nil},
		{"stop", "commands to stop what is no unit", func(s *Settings) any { return &s.Stop }, nil},
		{"start", "commands to start it again", func(s *Settings) any { return &s.Start }, nil},
		{"patience", "how long a service, a command or a hook may take", func(s *Settings) any { return &s.Patience }, nil},
		{"hooks.before", "programs to run first; one that fails stops the run", func(s *Settings) any { return &s.Before }, nil},
		{"hooks.ready", "programs to run when all checks are done", func(s *Settings) any { return &s.Ready }, nil},
		{"hooks.after", "programs to run last, also after a failure", func(s *Settings) any { return &s.After }, nil},
		{"lock-wait", "how long to wait for another run to end", func(s *Settings) any { return &s.LockWait }, nil},
		{"low-memory", "copying slows down while less memory is free", func(s *Settings) any { return (*Size)(&s.LowMemory) }, nil},
		{"log.level", "what is logged", func(s *Settings) any { return &s.LogLevel }, []string{"error", "info", "debug"}},
		{"log.folder", "where a log file of each run goes; empty: nowhere", func(s *Settings) any { return &s.LogFolder }, nil},
		{"log.keep", "log files to keep of each schedule", func(s *Settings) any { return &s.LogKeep }, nil},
		{"metrics", "file for Prometheus' node_exporter (its textfile collector)", func(s *Settings) any { return &s.Metrics }, nil},
		{"remind.months", "months after which a restore should be tried again; 0: never", func(s *Settings) any { return &s.Remind.Months }, nil},
		{"remind.times", "how often that is said", func(s *Settings) any { return &s.Remind.Times }, nil},
		{"language", "of notices and questions; empty: that of the system", func(s *Settings) any { return &s.Language }, []string{"", "en", "de"}},
	}
}

func notifyKeys() []Key {
	return []Key{
		{"notify.on", "when somebody is told", func(s *Settings) any { return &s.Notify.On }, []string{"errors", "all", "start"}},
		{"notify.log", "send the log along", func(s *Settings) any { return &s.Notify.Log }, nil},
		{"notify.mail.to", "who gets a mail", func(s *Settings) any { return &s.Notify.Mail.To }, nil},
		{"notify.mail.from", "sender; empty: root at this host", func(s *Settings) any { return &s.Notify.Mail.From }, nil},
		{"notify.mail.server", "SMTP server; empty: the local sendmail", func(s *Settings) any { return &s.Notify.Mail.Server }, nil},
		{"notify.mail.port", "its port", func(s *Settings) any { return &s.Notify.Mail.Port }, nil},
		{"notify.mail.tls", "how it is encrypted", func(s *Settings) any { return &s.Notify.Mail.TLS }, []string{"starttls", "tls", "none"}},
		{"notify.mail.user", "user at the server", func(s *Settings) any { return &s.Notify.Mail.User }, nil},
		{"notify.mail.password-file", "file or systemd credential with the password", func(s *Settings) any { return &s.Notify.Mail.PasswordFile }, nil},
		{"notify.mail.sendmail", "the local program", func(s *Settings) any { return &s.Notify.Mail.Sendmail }, nil},
		{"notify.ntfy.url", "topic: https://ntfy.sh/TOPIC", func(s *Settings) any { return &s.Notify.Ntfy.URL }, nil},
		{"notify.ntfy.token-file", "file or credential with the access token", func(s *Settings) any { return &s.Notify.Ntfy.TokenFile }, nil},
		{"notify.telegram.token-file", "file or credential with the bot's token", func(s *Settings) any { return &s.Notify.Telegram.TokenFile }, nil},
		{"notify.telegram.chat", "chat's ID", func(s *Settings) any { return &s.Notify.Telegram.Chat }, nil},
		{"notify.telegram.thread", "thread's ID in the chat", func(s *Settings) any { return &s.Notify.Telegram.Thread }, nil},
		{"notify.telegram.server", "another Bot API server", func(s *Settings) any { return &s.Notify.Telegram.Server }, nil},
		{"notify.pushover.token-file", "file or credential with the application's token", func(s *Settings) any { return &s.Notify.Pushover.TokenFile }, nil},
		{"notify.pushover.user-file", "file or credential with the user's key", func(s *Settings) any { return &s.Notify.Pushover.UserFile }, nil},
		{"notify.pushover.device", "one device of the user", func(s *Settings) any { return &s.Notify.Pushover.Device }, nil},
		{"notify.pushover.priority-failure", "priority of bad news, -2 to 1", func(s *Settings) any { return &s.Notify.Pushover.PriorityFailure }, nil},
		{"notify.pushover.server", "another server", func(s *Settings) any { return &s.Notify.Pushover.Server }, nil},
		{"notify.slack.url-file", "file or credential with the address of the incoming webhook", func(s *Settings) any { return &s.Notify.Slack.URLFile }, nil},
		{"notify.webhook.url", "address that takes a JSON object", func(s *Settings) any { return &s.Notify.Webhook.URL }, nil},
		{"notify.webhook.token-file", "file or credential with a bearer token", func(s *Settings) any { return &s.Notify.Webhook.TokenFile }, nil},
	}
}
