package nightly

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lifeboat/internal/atomicfile"
)

// A record is what has to be undone if the run dies. It lies in /run, so it is
// gone after a reboot, and so is all that it speaks of.
type record struct {
	Schedule string    `json:"schedule"`
	Started  time.Time `json:"started"`
	PID      int       `json:"pid"`
	Log      string    `json:"log"`
	Units    []string  `json:"units"`    // stopped, in this order
	Commands []string  `json:"commands"` // that start again what was stopped by commands
	Mounted  []string  `json:"mounted"`  // folders
	Ended    bool      `json:"ended"`    // it has told by itself what it could not start again
}

const recordName = "running.json"

func (r record) write(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, recordName), b, 0o600)
}

// readRecord returns nil where no run has left one.
func readRecord(dir string) (*record, error) {
	b, err := os.ReadFile(filepath.Join(dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, recordName), err)
	}
	return &r, nil
}

func removeRecord(dir string) error {
	err := os.Remove(filepath.Join(dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
