package nightly

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A Vault reads secrets, and takes them out of what is said. It can be used by
// several goroutines.
type Vault struct {
	// config
	credentials string // systemd's folder of them; "" is none

	// state
	mu      sync.Mutex
	secrets []string
}

// NewVault looks for credentials in the folder that systemd names in
// $CREDENTIALS_DIRECTORY; "" is none.
func NewVault(credentials string) *Vault { return &Vault{credentials: credentials} }

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 4096

// path is the file of a secret: name, or, where that has no slash, a credential's.
func (v *Vault) path(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if v.credentials == "" {
		return "", fmt.Errorf("secret %q: no credentials were handed over by systemd (LoadCredential=); a file is named with a slash", name)
	}
	return filepath.Join(v.credentials, name), nil
}

// File is the path of a secret, for a program that reads it itself. It is judged
// and hidden as by Read. "" is none.
func (v *Vault) File(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if _, err := v.Read(name); err != nil {
		return "", err
	}
	return v.path(name)
}

// Read returns the secret in a file, or, where the name has no slash, in a
// credential. A file that others can read is refused.
func (v *Vault) Read(name string) (string, error) {
	path, err := v.path(name)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && path == name {
		return "", fmt.Errorf("secret %s: it can be read by others: chmod 600", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", path, err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("secret %s: %w: it is empty", path, fs.ErrInvalid)
	}
	v.Hide(secret)
	return secret, nil
}

// Hide makes a text a secret: whole, and each line of it.
func (v *Vault) Hide(secret string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets = append(v.secrets, secret)
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) >= 6 {
			v.secrets = append(v.secrets, line)
		}
	}
}

// Clean is a text without secrets.
func (v *Vault) Clean(text string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.secrets {
		text = strings.ReplaceAll(text, s, "***")
		if escaped := strings.Trim(fmt.Sprintf("%q", s), `"`); escaped != s {
			text = strings.ReplaceAll(text, escaped, "***")
		}
	}
	return text
}

// CleanError is an error that says no secret.
func (v *Vault) CleanError(err error) error {
	if err == nil || v.Clean(err.Error()) == err.Error() {
		return err
	}
	return cleaned{v.Clean(err.Error()), err}
}

// A cleaned error keeps its causes, for those who ask by errors.Is.
type cleaned struct {
	text string
	err  error
}

func (c cleaned) Error() string        { return c.text }
func (c cleaned) Is(target error) bool { return target == c.err }

// Writer writes to w without secrets. Each Write is cleaned by itself, so it has
// to be whole lines.
func (v *Vault) Writer(w io.Writer) io.Writer { return cleanWriter{v, w} }

type cleanWriter struct {
	v *Vault
	w io.Writer
}

func (c cleanWriter) Write(b []byte) (int, error) {
	text := []byte(c.v.Clean(string(b)))
	if bytes.Equal(text, b) {
		return c.w.Write(b)
	}
	if _, err := c.w.Write(text); err != nil {
		return 0, err
	}
	return len(b), nil
}
