package house

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lifeboat/internal/fixture"
)

// A source is a Go file of this repository.
type source struct {
	name string // slash-separated, from the repository's root
	text string
	tree *ast.File
}

func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// A folder is a package and its tests.
type folder struct {
	name  string // "clone/disk"
	files []source
	fset  *token.FileSet
}

// main tells whether the folder is a program.
func (f folder) main() bool {
	return slices.ContainsFunc(f.files, func(s source) bool { return s.tree.Name.Name == "main" })
}

// shipped tells whether the folder's code may be part of the tool.
func (f folder) shipped() bool {
	rank, known := rankOf(f.name)
	return !known || rank != forTests
}

// where is a place in a file, for people.
func (f folder) where(n ast.Node) string { return f.fset.Position(n.Pos()).String() }

// tracked are the names of all files that are, or are about to be, committed.
func tracked(t *testing.T) []string {
	t.Helper()
	fixture.Need(t, "git")
	out := fixture.Run(t, "git", "-C", fixture.Top(t), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	var names []string
	for name := range strings.SplitSeq(strings.TrimRight(out, "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.Join(fixture.Top(t), name)); !errors.Is(err, os.ErrNotExist) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// folders are all packages, parsed.
func folders(t *testing.T) []folder {
	t.Helper()
	byName := map[string]*folder{}
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		dir := path.Dir(name)
		if byName[dir] == nil {
			byName[dir] = &folder{name: dir, fset: token.NewFileSet()}
		}
		text := read(t, name)
		tree, err := parser.ParseFile(byName[dir].fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		byName[dir].files = append(byName[dir].files, source{name, text, tree})
	}
	var all []folder
	for _, f := range byName {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b folder) int { return strings.Compare(a.name, b.name) })
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(fixture.Top(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// uses tells what each name of the folder's own, untested code stands for.
// Imports stay unknown: package-level names need none.
func (f folder) uses() (map[*ast.Ident]types.Object, *types.Scope) {
	var trees []*ast.File
	for _, s := range f.files {
		if !s.test() {
			trees = append(trees, s.tree)
		}
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := config.Check(f.name, f.fset, trees, &info)
	return info.Uses, pkg.Scope()
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

// selectors calls yield for each NAME.NAME in a file whose first name is the
// package imported from importPath.
func selectors(s source, importPath string, yield func(n ast.Node, name string)) {
	local := ""
	for _, i := range s.tree.Imports {
		if strings.Trim(i.Path.Value, `"`) == importPath {
			local = path.Base(importPath)
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	if local == "" {
		return
	}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local {
				yield(sel, sel.Sel.Name)
			}
		}
		return true
	})
}
