package netboot

import (
	"bytes"
	"fmt"
	"time"

	"github.com/BurntSushi/toml"
)

// RecordFile is the name, on the boot part of a restored card, of the record of
// the jobs that made it. A board that boots from the network first would else
// restore for ever.
const RecordFile = "lifeboat-done.toml"

// Done is a job that was done.
type Done struct {
	ID     string    `toml:"id"`
	Date   time.Time `toml:"date"`
	Source string    `toml:"source"` // where the image came from
	Digest string    `toml:"digest"` // SHA-256 of the image, in hex; "" = not known
}

type record struct {
	Done []Done `toml:"done"`
}

const (
	maxRecord  = 64 << 10 // bytes
	maxRecords = 32       // jobs kept; older ones are dropped
)

// Record is the content of the record file once d was done: what it held before
// (nil = there was none) and d. A file that does not parse is begun anew.
func Record(old []byte, d Done) ([]byte, error) {
	done, err := ReadRecord(old)
	if err != nil {
		done = nil
	}
	done = append(done, d)
	var b bytes.Buffer
	b.WriteString("# Jobs that lifeboat has done on this card. None of them is done here again.\n")
	r := record{done[max(0, len(done)-maxRecords):]}
	if err := toml.NewEncoder(&b).Encode(r); err != nil {
		return nil, fmt.Errorf("record of job %s: %w", d.ID, err)
	}
	return b.Bytes(), nil
}

// ReadRecord reads a record file.
func ReadRecord(data []byte) ([]Done, error) {
	var r record
	if _, err := decode(data, maxRecord, &r); err != nil {
		return nil, fmt.Errorf("record of jobs: %w", err)
	}
	return r.Done, nil
}

// DoneIn looks for the job in a record file's content, and says when it was
// done.
func (j *Job) DoneIn(data []byte) (Done, bool) {
	done, err := ReadRecord(data)
	if err != nil {
		return Done{}, false
	}
	for _, d := range done {
		if d.ID == j.ID {
			return d, true
		}
	}
	return Done{}, false
}
