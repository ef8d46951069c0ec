package speech_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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

// said are the texts that the source code gives to the catalogue, each with the
// place where it stands.
func said(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	top := fixture.Top(t)
	fset := token.NewFileSet()
	err := filepath.WalkDir(top, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == filepath.Join(top, "internal/speech") {
			return err
		}
		for _, file := range speaking(t, fset, dir) {
			collect(t, fset, file, texts)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// speaking are the files of a package that knows package speech.
func speaking(t *testing.T, fset *token.FileSet, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	knows := false
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		knows = knows || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"lifeboat/internal/speech"` })
	}
	if !knows {
		return nil
	}
	return files
}

// collect adds the texts of a file.
func collect(t *testing.T, fset *token.FileSet, file *ast.File, texts map[string]string) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !speaks(call) {
			return true
		}
		where := fset.Position(call.Pos()).String()
		if text, literal := textOf(call); literal {
			texts[text] = where
		} else if text != passedOn {
			t.Errorf("%s: the text is no literal: nobody can tell whether it is translated", where)
		}
		return true
	})
}

// speakers take a text and hand it on to the catalogue; passedOn is what they
// call it.
var speakers = []string{"T", "t", "say"}

const passedOn = "text"

// speaks tells whether a call gives a text to the catalogue.
func speaks(call *ast.CallExpr) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return slices.Contains(speakers, f.Name)
	case *ast.SelectorExpr:
		x, _ := f.X.(*ast.Ident)
		return slices.Contains(speakers, f.Sel.Name) || f.Sel.Name == "New" && x != nil && x.Name == "speech"
	}
	return false
}

// textOf is the text of a call that speaks, which may stand behind one other
// argument; or, where it is no literal, the name that it has.
func textOf(call *ast.CallExpr) (text string, literal bool) {
	for _, arg := range call.Args[:min(2, len(call.Args))] {
		switch arg := arg.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(arg.Value); err == nil && arg.Kind == token.STRING {
				return text, true
			}
		case *ast.Ident:
			if arg.Name == passedOn {
				return passedOn, false
			}
		}
	}
	return "", false
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
	if len(texts) < 150 {
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

// asking are the functions that put questions to people, in cmd/lifeboat.
var asking = []string{"choose", "line", "pickDisk"}

// TestQuestionsAreTranslated holds that no question, and none of its answers, is
// put past the catalogue.
func TestQuestionsAreTranslated(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	asked := 0
	for _, file := range speaking(t, fset, filepath.Join(fixture.Top(t), "cmd/lifeboat")) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := called(call)
			if !slices.Contains(asking, name) && !(name == "append" && called(call.Args[0]) == "items") {
				return true
			}
			asked++
			for _, lit := range unspoken(call.Args) {
				t.Errorf("%s: %s is asked past the catalogue", fset.Position(lit.Pos()), lit.Value)
			}
			return true
		})
	}
	if asked < 25 {
		t.Errorf("only %d questions were found", asked)
	}
}

// unspoken are the literals with words in them that are given to no speaker.
func unspoken(args []ast.Expr) []*ast.BasicLit {
	var found []*ast.BasicLit
	for _, arg := range args {
		ast.Inspect(arg, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && speaks(call) {
				return false
			}
			lit, ok := n.(*ast.BasicLit)
			if ok && lit.Kind == token.STRING && regexp.MustCompile(`[A-Za-z]{2}`).MatchString(lit.Value) {
				found = append(found, lit)
			}
			return true
		})
	}
	return found
}

// called is the name of a function that is called, or of a variable.
func called(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.CallExpr:
		return called(x.Fun)
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident:
		return x.Name
	}
	return ""
}
