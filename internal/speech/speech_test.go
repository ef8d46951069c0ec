package speech_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
	"lifeboat/internal/speech"
)

func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		env  map[string]string
		want speech.Language
	}{
		{nil, speech.English},
		{map[string]string{"LANG": "de_DE.UTF-8"}, speech.German},
		{map[string]string{"LANG": "de_DE", "LC_ALL": "C"}, speech.English},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_MESSAGES": "de_AT"}, speech.German},
		{map[string]string{"LANG": "fr_FR.UTF-8"}, speech.English},
	} {
		if got := speech.Of(func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%v: %s, want %s", test.env, got, test.want)
		}
	}
	if got := speech.German.T("Error: %s", "x"); got != "Fehler: x" {
		t.Error(got)
	}
	if got := speech.German.T("never said"); got != "never said" {
		t.Error(got)
	}
}

// said are the texts that the source code gives to T, or to one of the
// functions in passing, each with the place where it stands.
func said(t *testing.T) map[string]string {
	t.Helper()
	// say and ask hand their text on to T.
	passing := []string{"T", "say", "ask"}
	texts := map[string]string{}
	for _, dir := range []string{"internal/nightly", "cmd/lifeboat"} {
		names, err := filepath.Glob(filepath.Join(fixture.Top(t), dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(names), err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, name, text, 0)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			calls := passing
			if !strings.Contains(string(text), `"lifeboat/internal/speech"`) {
				calls = []string{"T"}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if ok && slices.Contains(calls, called(call)) {
					for _, arg := range call.Args[:min(2, len(call.Args))] {
						if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
							text, _ := strconv.Unquote(lit.Value)
							texts[text] = fset.Position(lit.Pos()).String()
							break
						}
					}
				}
				return true
			})
		}
	}
	return texts
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// verbs are those of a format, in their order.
func verbs(text string) string {
	return strings.Join(regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`).FindAllString(text, -1), " ")
}

// TestGermanIsWhole holds that each text that a person meets has a German one,
// with the same verbs, and that no translation has lost its text.
func TestGermanIsWhole(t *testing.T) {
	t.Parallel()
	texts := said(t)
	if len(texts) < 15 {
		t.Fatalf("only %d texts were found", len(texts))
	}
	for text, where := range texts {
		german, ok := speech.Texts()[text]
		if !ok {
			t.Errorf("%s: %q is not translated", where, text)
		} else if verbs(text) != verbs(german) {
			t.Errorf("%s: %q has other verbs than %q", where, german, text)
		}
	}
	for text := range speech.Texts() {
		if texts[text] == "" {
			t.Errorf("%q is translated, and nobody says it", text)
		}
	}
}
