package uinit

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
)

// An editor reads lines from a terminal: arrows, history, completion. While a
// command runs, the terminal is in its usual mode.
type editor struct {
	file *os.File
	term *term.Terminal
}

func newEditor(file *os.File, out io.Writer, complete func(line string, pos int) (string, int, bool)) *editor {
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{&keys{r: file}, out}, "")
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return complete(line, pos)
	}
	return &editor{file, t}
}

// ReadLine lets a person write a line.
func (e *editor) ReadLine(prompt string) (string, error) {
	fd := int(e.file.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	defer term.Restore(fd, old)
	if cols, rows, err := term.GetSize(fd); err == nil && cols > 0 && rows > 0 {
		e.term.SetSize(cols, rows) // a serial line knows none: it stays at 80 × 24
	}
	e.term.SetPrompt(prompt)
	return e.term.ReadLine()
}

// keys makes ctrl-C clear the line: to x/term it is the end of the input.
type keys struct {
	r       io.Reader
	waiting []byte
}

func (k *keys) Read(p []byte) (int, error) {
	if len(k.waiting) == 0 {
		buf := make([]byte, 256)
		n, err := k.r.Read(buf)
		if n == 0 {
			return 0, err
		}
		k.waiting = []byte(strings.ReplaceAll(string(buf[:n]), "\x03", "\x05\x15")) // to the end, erase to the beginning
	}
	n := copy(p, k.waiting)
	k.waiting = k.waiting[n:]
	return n, nil
}

// complete extends the word before the cursor as far as it is certain: the first
// of a line is a command or a path, others are paths.
func (s *shell) complete(line string, pos int) (string, int, bool) {
	start := strings.LastIndexAny(line[:pos], separators) + 1
	word := line[start:pos]
	var fits []string
	before := strings.TrimRight(line[:start], " \t")
	if (before == "" || strings.ContainsAny(before[len(before)-1:], "|;&(`")) && !strings.Contains(word, "/") {
		for _, name := range commandNames() {
			if strings.HasPrefix(name, word) {
				fits = append(fits, name+" ")
			}
		}
	} else {
		fits = s.paths(word)
	}
	if len(fits) == 0 {
		return "", 0, false
	}
	longest := common(fits)
	return line[:start] + longest + line[pos:], start + len(longest), true
}

const separators = " \t|;&<>(`=\"'"

func (s *shell) paths(word string) []string {
	dir, base := filepath.Split(word)
	look := dir
	if !filepath.IsAbs(look) {
		look = filepath.Join(s.runner.Dir, look)
	}
	entries, _ := os.ReadDir(look)
	var fits []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || base == "" && strings.HasPrefix(name, ".") {
			continue
		}
		if info, err := os.Stat(filepath.Join(look, name)); err == nil && info.IsDir() {
			fits = append(fits, dir+name+"/")
		} else {
			fits = append(fits, dir+name+" ")
		}
	}
	return fits
}

// common is the longest beginning that all words have.
func common(words []string) string {
	low, high := slices.Min(words), slices.Max(words)
	n := 0
	for n < len(low) && n < len(high) && low[n] == high[n] {
		n++
	}
	return low[:n]
}
