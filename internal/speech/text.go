package speech

import "strings"

// A Text is a sentence with its values that is said later, in a language that
// who makes it does not know. As a string and in JSON it is English. The zero
// value says nothing.
type Text struct {
	format string
	args   []any // a Text among them is said in the same language
	pieces []Text
	plain  string
}

// New is a text of the catalogue: a format of package fmt, and its values.
func New(format string, args ...any) Text { return Text{format: format, args: args} }

// Plain is what is the same in all languages: names, and the words of errors.
func Plain(words string) Text { return Text{plain: words} }

// Join is several texts in one, with something between them that needs no
// translation.
func Join(texts []Text, between string) Text {
	var all []Text
	for i, t := range texts {
		if i > 0 {
			all = append(all, Plain(between))
		}
		all = append(all, t)
	}
	return Text{pieces: all}
}

// In says the text in a language.
func (t Text) In(l Language) string {
	if t.format != "" {
		return l.T(t.format, t.args...)
	}
	var b strings.Builder
	b.WriteString(t.plain)
	for _, piece := range t.pieces {
		b.WriteString(piece.In(l))
	}
	return b.String()
}

func (t Text) String() string { return t.In(English) }

// IsZero tells whether the text says nothing.
func (t Text) IsZero() bool { return t.String() == "" }

// MarshalText says it in English: programs that read JSON find what they know.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes what MarshalText made, whose format is lost: it is said in
// English in all languages.
func (t *Text) UnmarshalText(b []byte) error {
	*t = Plain(string(b))
	return nil
}

// Strings are texts in English, for logs and reports.
func Strings(texts []Text) []string {
	var all []string
	for _, t := range texts {
		all = append(all, t.String())
	}
	return all
}
