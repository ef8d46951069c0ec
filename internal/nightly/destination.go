package nightly

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// A Destination is where backups go: a folder, or something to be mounted.
type Destination struct {
	Text    string   // as it was given
	Folder  string   // a folder; "" where it is mounted by us, or an address
	Address string   // of a server that nothing is mounted from: of a repository only
	Mount   []string // the program that mounts, without options and the place
	Options []string
	Needs   string // the program that does it in the end
	Package string // Debian's, which has it
	Secret  bool   // takes a file of credentials
}

// ParseDestination reads what a user writes: a folder, or one of
//
//	nfs:HOST:/PATH
//	smb://HOST/SHARE         (also //HOST/SHARE)
//	sshfs:USER@HOST:/PATH
//	davfs:https://HOST/PATH
//	UUID=… LABEL=… PARTUUID=… PARTLABEL=…
//	sftp://USER@HOST/PATH s3://BUCKET/PATH
func ParseDestination(text string) (Destination, error) {
	kind, rest, _ := strings.Cut(text, ":")
	tag, value, tagged := strings.Cut(text, "=")
	d := Destination{Text: text}
	switch {
	case text == "":
		return d, fmt.Errorf("no destination is configured: to = \"…\"")
	case kind == "nfs" && strings.Contains(rest, ":/"):
		d.Mount, d.Needs, d.Package = []string{"mount", "-t", "nfs", rest}, "mount.nfs", "nfs-common"
		// A server that went away is an error, not a process that waits for ever.
		d.Options = []string{"soft", "timeo=600", "retrans=3"}
	case kind == "smb" && strings.HasPrefix(rest, "//") && strings.Contains(rest[2:], "/"):
		d.Mount, d.Needs, d.Package, d.Secret = []string{"mount", "-t", "cifs", rest}, "mount.cifs", "cifs-utils", true
	case strings.HasPrefix(text, "//") && strings.Contains(text[2:], "/"):
		return ParseDestination("smb:" + text)
	case kind == "sshfs" && strings.Contains(rest, ":"):
		d.Mount, d.Needs, d.Package = []string{"sshfs", rest}, "sshfs", "sshfs"
		d.Options = []string{"BatchMode=yes", "reconnect", "ServerAliveInterval=15", "ServerAliveCountMax=8"}
	case kind == "davfs" && (strings.HasPrefix(rest, "https://") || strings.HasPrefix(rest, "http://")):
		d.Mount, d.Needs, d.Package, d.Secret = []string{"mount", "-t", "davfs", rest}, "mount.davfs", "davfs2", true
	case tagged && value != "" && (tag == "UUID" || tag == "LABEL" || tag == "PARTUUID" || tag == "PARTLABEL"):
		d.Mount, d.Needs, d.Package = []string{"mount", text}, "mount", "mount"
		d.Options = []string{"nosuid", "nodev"}
	case (kind == "sftp" || kind == "s3") && strings.HasPrefix(rest, "//"):
		d.Address = text
	case filepath.IsAbs(text):
		d.Folder = filepath.Clean(text)
	default:
		return d, fmt.Errorf("destination %q is neither a folder with its whole path nor nfs:HOST:/PATH, smb://HOST/SHARE, sshfs:USER@HOST:/PATH, davfs:https://…, UUID=…, sftp://HOST/PATH, s3://BUCKET/PATH", text)
	}
	return d, nil
}

// Destination is where backups of s go. It is an error where they cannot.
func (s Settings) Destination() (Destination, error) {
	d, err := ParseDestination(s.To)
	if err == nil && d.Address != "" && s.Type != SnapshotType {
		err = fmt.Errorf("destination %s: an image of the running system is spooled beside its place, and a server has no room for that: "+
			"type = %q goes there, and images to a folder", d.Shown(), SnapshotType)
	}
	return d, err
}

// Shown is the destination without what others must not read: the password of an
// address, and the words behind its question mark.
func (d Destination) Shown() string {
	u, err := url.Parse(d.Address)
	if d.Address == "" {
		return d.Text
	}
	if err != nil {
		kind, _, _ := strings.Cut(d.Address, ":")
		return kind + "://…"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// shownTo is the destination of s as others may read it.
func shownTo(s Settings) string {
	d, err := ParseDestination(s.To)
	if err != nil {
		return s.To
	}
	return d.Shown()
}

// Below is a folder in a place: of this machine, or an address.
func Below(place, folder string) string {
	address, query, asked := strings.Cut(place, "?")
	switch {
	case folder == "":
		return place
	case !strings.Contains(place, "://"):
		return filepath.Join(place, folder)
	case asked:
		query = "?" + query
	}
	return strings.TrimRight(address, "/") + "/" + folder + query
}

// command is the line that mounts the destination on a folder.
func (d Destination) command(s Settings, folder string) []string {
	options := d.Options
	if s.MountOptions != "" {
		options = append(options[:len(options):len(options)], s.MountOptions)
	}
	if d.Secret && s.Credentials != "" {
		options = append(options[:len(options):len(options)], d.credentials(s.Credentials))
	}
	line := append(d.Mount[:len(d.Mount):len(d.Mount)], folder)
	if len(options) > 0 {
		line = append(line, "-o", strings.Join(options, ","))
	}
	return line
}

// credentials is the option that names a file of credentials: mount.cifs(8);
// mount.davfs(8) reads its own by way of a configuration.
func (d Destination) credentials(file string) string {
	if d.Needs == "mount.davfs" {
		return "conf=" + file
	}
	return "credentials=" + file
}
