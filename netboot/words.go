package netboot

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes in a job: an integer, or a string as "8GB" (8 × 10⁹)
// or "7.5 GiB" (7.5 × 2³⁰). A card sold as 8 GB holds a little less than that.
type Size int64

// UnmarshalTOML takes a value of the file.
func (s *Size) UnmarshalTOML(v any) error {
	switch v := v.(type) {
	case int64:
		if v < 0 {
			return fmt.Errorf("size %d is negative", v)
		}
		*s = Size(v)
		return nil
	case string:
		n, err := parseSize(v)
		*s = n
		return err
	}
	return fmt.Errorf("size %v: want a number of bytes, or a string as \"8GB\"", v)
}

func parseSize(text string) (Size, error) {
	number := strings.TrimRight(text, "kKMGTPiB ")
	unit := strings.TrimSpace(text[len(number):])
	factors := map[string]float64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
	f, known := factors[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n >= 0) || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("size %q: want a number of bytes, or one with kB, MB, GB, TB, KiB, MiB, GiB or TiB", shorten(text))
	}
	if n*f >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q is larger than any disk", shorten(text))
	}
	return Size(n * f), nil
}

// String is the size for people.
func (s Size) String() string {
	units := []struct {
		name string
		of   Size
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}
	for _, u := range units {
		if s >= u.of {
			return strconv.FormatFloat(math.Trunc(float64(s)/float64(u.of)*100)/100, 'f', -1, 64) + " " + u.name
		}
	}
	return fmt.Sprintf("%d bytes", int64(s))
}

// Grow names the part that follows the target's size: its number in digits,
// "none", or "" for the last one that can grow.
type Grow string

// UnmarshalTOML takes a value of the file: 2, "2" or "none".
func (g *Grow) UnmarshalTOML(v any) error {
	text := fmt.Sprint(v)
	n, err := strconv.Atoi(text)
	switch v.(type) {
	case int64, string:
		if text == "none" || text == "" || err == nil && n > 0 && n <= maxPart {
			*g = Grow(text)
			return nil
		}
	}
	return fmt.Errorf("grow %v: want the number of a part, or \"none\"", v)
}

// maxPart is the largest number of a part that a GPT of usual size can have.
const maxPart = 128
