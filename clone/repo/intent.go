package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxIntent bounds an intent or a list: a million chunks.
const maxIntent = 64 << 20

// An intent says what a backup under way counts on: base, and chunks.
type intent struct {
	Version int    `json:"version"`
	Base    string `json:"base,omitempty"` // SERIES/ID
	Chunks  []byte `json:"chunks,omitempty"`
}

// A condemned list says what will be removed when its grace is over.
type condemned struct {
	Version int      `json:"version"`
	Chunks  []byte   `json:"chunks,omitempty"`
	Files   []string `json:"files,omitempty"` // of snapshots without a record
}

func intentName(id string, n int) string { return fmt.Sprintf("%s%s-%d.json", intentsDir, id, n) }

// parseIntentName gives the backup's ID.
func parseIntentName(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, intentsDir)
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 || !idForm.MatchString(rest[:i]) || !strings.HasSuffix(rest, ".json") {
		return "", false
	}
	return rest[:i], true
}

// joinIDs puts IDs behind one another.
func joinIDs(ids []ID) []byte {
	var b []byte
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	return b
}

// eachID is the reverse of joinIDs.
func eachID(b []byte, do func(ID)) {
	for ; len(b) > 0; b = b[len(ID{}):] {
		do(ID(b[:len(ID{})]))
	}
}

var errIDs = errors.New("its list of chunks is cut off")

func decodeIntent(data []byte) (intent, error) {
	var i intent
	if err := json.Unmarshal(data, &i); err != nil {
		return i, err
	}
	if len(i.Chunks)%len(ID{}) != 0 {
		return i, errIDs
	}
	if _, _, ok := parseStem(snapshotsDir+i.Base, ""); i.Base != "" && !ok {
		return i, fmt.Errorf("its base %q names no snapshot", i.Base)
	}
	return i, checkVersion(i.Version)
}

func decodeCondemned(data []byte) (condemned, error) {
	var c condemned
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	if len(c.Chunks)%len(ID{}) != 0 {
		return c, errIDs
	}
	for _, name := range c.Files {
		if !isSnapshotFile(name) {
			return c, fmt.Errorf("it names %q, which is no file of a snapshot", name)
		}
	}
	return c, checkVersion(c.Version)
}

func checkVersion(v int) error {
	if v != configVersion {
		return fmt.Errorf("version %d of the format is not known", v)
	}
	return nil
}

// isSnapshotFile tells whether a file belongs to a snapshot and is not its
// record.
func isSnapshotFile(name string) bool {
	_, ok := snapshotFileOf(name)
	return ok
}

// snapshotFileOf says which snapshot a file that is not its record belongs to.
func snapshotFileOf(name string) (key, bool) {
	for _, ext := range []string{indexExt, manifestExt, signatureExt} {
		if series, id, ok := parseStem(name, ext); ok {
			return key{series, id}, true
		}
	}
	return key{}, false
}
