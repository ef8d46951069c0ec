package nightly

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Size is a number of bytes, as people write it: "64MiB", "8GB".
type Size int64

// A Percent is a part of a whole: "1%".
type Percent float64

func parsePercent(text string) (Percent, error) {
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil || !strings.HasSuffix(text, "%") || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("%q is no percentage: 1%%, 0.5%%", text)
	}
	return Percent(n), nil
}

// excludeWhy is said where something is to be left out. A file's blocks cannot be
// left out of a snapshot that is a disk: the file would be there, full of zeros.
const excludeWhy = "a backup is the whole disk at one instant, where a file that is left out would be there and hold zeros. " +
	"What swap files and swap parts hold is never copied; caches and downloads: keep them on another disk or a tmpfs, or remove them in hooks.before"

// units are what a size can end in, longer ones first.
func units() []struct {
	name  string
	bytes int64
} {
	return []struct {
		name  string
		bytes int64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
	}
}

func parseSize(text string) (int64, error) {
	for _, u := range units() {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		return n * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is no size: 500MB, 64MiB", text)
}

// set puts a value out of a TOML file into the field that at points to.
func (k Key) set(s *Settings, value any) error {
	switch at := k.At(s).(type) {
	case *string:
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%s is a text, in quotes", k.Name)
		}
		return k.setText(s, text)
	case *bool:
		on, ok := value.(bool)
		if !ok {
			return fmt.Errorf("%s is true or false", k.Name)
		}
		*at = on
	case *int:
		n, ok := value.(int64)
		if !ok {
			return fmt.Errorf("%s is a number", k.Name)
		}
		return k.setNumber(at, n)
	case *[]string:
		return k.setList(at, value)
	case *Exclude:
		var none []string
		if err := k.setList(&none, value); err != nil || len(none) == 0 {
			return err
		}
		return k.setText(s, none[0])
	case *time.Duration, *Size, *Percent:
		if n, ok := value.(int64); ok {
			if _, isSize := at.(*Size); isSize || n == 0 {
				value = strconv.FormatInt(n, 10)
			}
		}
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%s is a text, in quotes: %s", k.Name, k.Text(s))
		}
		return k.setText(s, text)
	default:
		panic("BUG: a key of a kind that nobody reads: " + k.Name)
	}
	return nil
}

// bounds are the numbers that the key can have.
func (k Key) bounds() (least, most int64) {
	switch k.Name {
	case "level":
		return 0, 9
	case "keep", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly":
		return -1, math.MaxInt32 // all
	case "repository.full-every":
		return 1, math.MaxInt32
	case "notify.mail.port":
		return 1, math.MaxUint16
	case "notify.pushover.priority-failure":
		return -2, 1 // 2 wants to be acknowledged
	}
	return 0, math.MaxInt32
}

func (k Key) setNumber(at *int, n int64) error {
	least, most := k.bounds()
	switch {
	case n < least:
		return fmt.Errorf("%s is at least %d, not %d", k.Name, least, n)
	case n > most:
		return fmt.Errorf("%s is at most %d, not %d", k.Name, most, n)
	}
	*at = int(n)
	return nil
}

func (k Key) setList(at *[]string, value any) error {
	if one, ok := value.(string); ok {
		value = []any{one}
	}
	items, ok := value.([]any)
	list := []string{}
	for _, item := range items {
		text, isText := item.(string)
		ok = ok && isText
		list = append(list, text)
	}
	if !ok {
		return fmt.Errorf("%s is a list of texts: [\"a\", \"b\"]", k.Name)
	}
	*at = list
	return nil
}

// setText puts in what was given as a text: by a flag, or in quotes. A list's
// text is one item; none where it is empty.
func (k Key) setText(s *Settings, text string) error {
	var err error
	switch at := k.At(s).(type) {
	case *string:
		if k.May != nil && !slices.Contains(k.May, text) {
			return fmt.Errorf("%s is one of %s, not %q", k.Name, strings.TrimPrefix(strings.Join(k.May, ", "), ", "), text)
		}
		if k.Name == "repository.series" && text != "" && !isSeries(text) {
			return fmt.Errorf("%s has 16 hex digits, not %q", k.Name, text)
		}
		*at = text
	case *bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s is true or false, not %q", k.Name, text)
		}
		*at = on
	case *int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is a number, not %q", k.Name, text)
		}
		return k.setNumber(at, n)
	case *[]string:
		if *at = []string{}; text != "" {
			*at = []string{text}
		}
	case *time.Duration:
		*at, err = time.ParseDuration(text)
		if err == nil && *at < 0 {
			err = fmt.Errorf("%q lies in the past", text)
		}
	case *Size:
		var n int64
		n, err = parseSize(text)
		*at = Size(n)
	case *Percent:
		*at, err = parsePercent(text)
	case *Exclude:
		if text != "" {
			err = errors.New(excludeWhy)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", k.Name, err)
	}
	return nil
}

// isSeries tells whether a text can name a series: docs/REPOSITORY.md, section 3.
func isSeries(text string) bool {
	digits, err := hex.DecodeString(text)
	return err == nil && len(digits) == 8 && strings.ToLower(text) == text
}

// Text is the value as it would stand in a file.
func (k Key) Text(s *Settings) string {
	switch at := k.At(s).(type) {
	case *string:
		return quote(*at)
	case *bool:
		return strconv.FormatBool(*at)
	case *int:
		return strconv.Itoa(*at)
	case *[]string:
		var items []string
		for _, item := range *at {
			items = append(items, quote(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case *time.Duration:
		return quote(shortDuration(*at))
	case *Size:
		return quote(sizeText(int64(*at)))
	case *Percent:
		return quote(strconv.FormatFloat(float64(*at), 'f', -1, 64) + "%")
	case *Exclude:
		return "[]"
	}
	panic("BUG: a key of a kind that nobody writes: " + k.Name)
}

// quote writes a text as TOML has it: a basic string.
func quote(text string) string {
	b, err := toml.Marshal(map[string]string{"x": text})
	if err != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(b), "x = "))
}

// shortDuration is "15m", where time says "15m0s".
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func sizeText(n int64) string {
	text := strconv.FormatInt(n, 10)
	for _, u := range units() {
		if n > 0 && u.bytes > 1 && n%u.bytes == 0 && len(text) > len(strconv.FormatInt(n/u.bytes, 10)+u.name) {
			text = strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return text
}
