package netboot

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/BurntSushi/toml"
)

// Limits of a TOML file that others wrote. The decoder's time grows with the
// cube of how deep its keys go (BurntSushi/toml v1.6.0: 8 s for 16 KiB of
// "a.a.a…"), and no file of ours goes deeper than two.
const (
	maxDots   = 100 // in a line, those in texts and URLs included
	maxBraces = 16  // '{' in the file
)

// decode reads TOML of at most limit bytes into v.
func decode(data []byte, limit int, v any) (toml.MetaData, error) {
	if len(data) > limit {
		return toml.MetaData{}, fmt.Errorf("%d bytes: at most %d are taken", len(data), limit)
	}
	if bytes.Count(data, []byte("{")) > maxBraces {
		return toml.MetaData{}, errors.New("too many tables within tables")
	}
	n := 0
	for line := range bytes.Lines(data) {
		if n++; bytes.Count(line, []byte(".")) > maxDots {
			return toml.MetaData{}, fmt.Errorf("line %d has more than %d dots", n, maxDots)
		}
	}
	return toml.Decode(string(data), v)
}
