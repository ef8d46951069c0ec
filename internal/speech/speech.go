// Package speech answers: how is that said in the reader's language? English
// texts are the keys, the german*.go files have the German ones. It holds what a
// person meets (setup, menus, plans, questions, notices); errors and logs are
// English everywhere.
//
// Who prints knows the language, and calls T. Who makes a sentence deep in the
// engine does not, and makes a Text of it.
//
// A text that has no translation is said in English, so nothing breaks; the
// tests of this package find it.
package speech

import (
	"fmt"
	"strings"
)

// A Language is one that texts are said in.
type Language string

// The languages.
const (
	English Language = "en"
	German  Language = "de"
	// Marked is for tests: each text stands in brackets, so that what was never
	// given to T is seen.
	Marked Language = "xx"
)

// Of is the language that the environment asks for (locale(7)).
func Of(getenv func(string) string) Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := getenv(name); value != "" {
			return Named(value)
		}
	}
	return English
}

// Named is the language of a name such as "de_DE.UTF-8"; English where it is
// none of ours.
func Named(name string) Language {
	word, _, _ := strings.Cut(name, ".")
	word, _, _ = strings.Cut(word, "_")
	switch Language(word) {
	case German:
		return German
	case Marked:
		return Marked
	}
	return English
}

// T says a text, which is a format of package fmt, in the language. A Text among
// its values is said in the same one.
func (l Language) T(text string, args ...any) string {
	switch l {
	case German:
		if said, ok := german()[text]; ok {
			text = said
		}
	case Marked:
		text = "⟦" + text + "⟧"
	}
	if len(args) == 0 {
		return strings.ReplaceAll(text, "%%", "%")
	}
	said := make([]any, len(args))
	for i, arg := range args {
		said[i] = arg
		if t, ok := arg.(Text); ok {
			said[i] = t.In(l)
		}
	}
	return fmt.Sprintf(text, said...)
}
