package increment

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"lifeboat/clone/extent"
	"lifeboat/clone/filesystem/ext4"
	"lifeboat/internal/atomicfile"
)

// A state is what one backup leaves for the next.
//
// The file: magic; length (4 bytes) and JSON of the header; for each part its
// place (offset and length, 8 bytes each), length (8 bytes) and bytes of its
// ext4.State; SHA-256 of all that. Numbers are little-endian.
type state struct {
	header
	parts []part
}

type header struct {
	Version    int        `json:"version"`
	Repository string     `json:"repository"`
	Series     string     `json:"series"`
	Snapshot   string     `json:"snapshot"` // that it is of
	Nights     int        `json:"nights"`   // increments since all was read
	Alarm      bool       `json:"alarm"`    // the last check found a difference
	Signs      extent.Set `json:"signs"`    // sectors that end with a swap signature
	moment
	Parts int `json:"parts"` // that follow
}

type part struct {
	extent extent.Extent
	state  *ext4.State
}

const (
	magic   = "lifeboat increment\n"
	version = 1
	maxFile = 512 << 20 // 60 million inodes
	maxHead = 4 << 20
	maxPart = 128
)

// part is the state of the part that lies there; nil = none.
func (s *state) part(e extent.Extent) *ext4.State {
	for _, p := range s.parts {
		if p.extent == e {
			return p.state
		}
	}
	return nil
}

// write puts the state at path, whole.
func (s *state) write(path string) error {
	b, err := s.encode()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b, 0o600)
}

func (s *state) encode() ([]byte, error) {
	le := binary.LittleEndian
	s.Parts = len(s.parts)
	head, err := json.Marshal(s.header)
	if err != nil {
		return nil, err
	}
	b := append(le.AppendUint32([]byte(magic), uint32(len(head))), head...)
	for _, p := range s.parts {
		b = le.AppendUint64(le.AppendUint64(b, uint64(p.extent.Off)), uint64(p.extent.Len))
		at := len(b)
		b = le.AppendUint64(b, 0)
		if b, err = p.state.AppendBinary(b); err != nil {
			return nil, err
		}
		le.PutUint64(b[at:], uint64(len(b)-at-8))
	}
	sum := sha256.Sum256(b)
	if len(b) > maxFile || len(head) > maxHead {
		return nil, fmt.Errorf("it would have %d bytes", len(b))
	}
	return append(b, sum[:]...), nil
}

// readState reads the file; an error says why there is no state.
func readState(path string) (*state, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it was made elsewhere, or there was none")
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return decodeState(b)
}

var errDamaged = errors.New("its state is damaged")

// decodeState takes memory in proportion to b.
func decodeState(b []byte) (*state, error) {
	end := len(b) - sha256.Size
	if end < len(magic)+4 || len(b) > maxFile || string(b[:len(magic)]) != magic {
		return nil, errDamaged
	}
	if sum := sha256.Sum256(b[:end]); !bytes.Equal(sum[:], b[end:]) {
		return nil, errDamaged
	}
	b = b[len(magic):end]
	le := binary.LittleEndian
	n := int64(le.Uint32(b))
	if b = b[4:]; n > int64(len(b)) || n > maxHead {
		return nil, errDamaged
	}
	s := &state{}
	if err := json.Unmarshal(b[:n], &s.header); err != nil {
		return nil, errDamaged
	}
	if s.Version != version {
		return nil, fmt.Errorf("its state has the unknown version %d", s.Version)
	}
	if s.Parts < 0 || s.Parts > maxPart || s.Signs.Check(1<<62) != nil {
		return nil, errDamaged
	}
	b = b[n:]
	for range s.Parts {
		if len(b) < 24 {
			return nil, errDamaged
		}
		p := part{extent.Extent{Off: int64(le.Uint64(b)), Len: int64(le.Uint64(b[8:]))}, &ext4.State{}}
		size := le.Uint64(b[16:])
		if b = b[24:]; size > uint64(len(b)) || p.state.UnmarshalBinary(b[:size]) != nil {
			return nil, errDamaged
		}
		s.parts, b = append(s.parts, p), b[size:]
	}
	if len(b) > 0 {
		return nil, errDamaged
	}
	return s, nil
}
