package nightly

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// A given is one value or table of a file, with the line that it begins at.
type given struct {
	path  []string // {"schedule", "weekly", "keep"}
	value any
	line  int
}

// Limits of a file. The library's time grows with the cube of how deep keys go
// (BurntSushi/toml v1.6.0); the deepest of ours has five words.
const (
	maxFile = 64 << 10
	maxDots = 16
)

// statements takes a TOML file apart. The library does not tell where a value
// stands, so each statement (a heading, or a key with its value, over as many
// lines as it takes) is read by itself below its heading.
func statements(text string) ([]given, error) {
	if err := reasonable(text); err != nil {
		return nil, err
	}
	if _, err := toml.Decode(text, new(map[string]any)); err != nil {
		return nil, syntaxError(err)
	}
	var all []given
	heading, statement, first := "", "", 0
	for n, line := range strings.SplitAfter(text, "\n") {
		if statement == "" {
			first = n + 1
		}
		statement += line
		var tree map[string]any
		meta, err := toml.Decode(heading+statement, &tree)
		if err != nil {
			continue // it goes on in the next line
		}
		all = append(all, entries(meta, tree, first)...)
		if trimmed := strings.TrimSpace(statement); strings.HasPrefix(trimmed, "[") {
			heading = trimmed + "\n"
		}
		statement = ""
	}
	return all, nil
}

func reasonable(text string) error {
	if len(text) > maxFile {
		return fmt.Errorf("%d bytes: at most %d are taken", len(text), maxFile)
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.Count(line, ".") > maxDots && strings.Count(strings.SplitN(line, "=", 2)[0], ".") > maxDots {
			return fmt.Errorf("line %d: a key of more than %d words", n, maxDots)
		}
	}
	return nil
}

// syntaxError tells the line, which the library's own error tells in many.
func syntaxError(err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d: %s", parse.Position.Line, parse.Message)
	}
	return err
}

// entries are the values of a statement, and the tables that it is in.
func entries(meta toml.MetaData, tree map[string]any, line int) []given {
	var all []given
	for _, key := range meta.Keys() {
		var at any = tree
		for _, word := range key {
			if table, ok := at.(map[string]any); ok {
				at = table[word]
			}
		}
		all = append(all, given{key, at, line})
	}
	return all
}
