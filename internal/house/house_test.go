// Package house holds the house's rules: how this repository is laid out and
// written, as far as a program can judge. It has tests only. A rule that is in
// the way is changed here and in the page of conventions, together.
package house

import (
	"go/ast"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPackageComments holds that each package says once what it is.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		var with []string
		testOnly := !slices.ContainsFunc(f.files, func(s source) bool { return !s.test() })
		for _, s := range f.files {
			if s.tree.Doc != nil && (testOnly || !s.test()) {
				with = append(with, s.name)
			}
		}
		if len(with) != 1 {
			t.Errorf("package %s has %d package comments, want 1: %q", f.name, len(with), with)
		}
	}
}

const maxFile, maxFunc = 400, 60

// tooLong lists what may be longer, with the reason: "FILE" or "FILE FUNC".
var tooLong = map[string]string{}

// TestSmall holds that a file has one topic, and that a function fits a screen.
func TestSmall(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		for _, s := range f.files {
			if n := strings.Count(s.text, "\n"); n > maxFile && tooLong[s.name] == "" {
				t.Errorf("%s has %d lines, more than %d", s.name, n, maxFile)
			}
			for _, d := range s.tree.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
				if n > maxFunc && tooLong[s.name+" "+fn.Name.Name] == "" {
					t.Errorf("%s: %s has %d lines, more than %d", f.where(fn), fn.Name.Name, n, maxFunc)
				}
			}
		}
	}
}

// TestNoState holds that no package variable is assigned, or lent by address,
// after its declaration, and that nothing runs before main.
func TestNoState(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		uses, scope := f.uses()
		for _, s := range f.files {
			if s.test() {
				continue
			}
			ast.Inspect(s.tree, func(n ast.Node) bool {
				for _, to := range written(n) {
					if v, ok := uses[to].(*types.Var); ok && v.Parent() == scope {
						t.Errorf("%s: package variable %s is written", f.where(to), to.Name)
					}
				}
				if fn, ok := n.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
					t.Errorf("%s: init runs before main", f.where(fn))
				}
				return true
			})
		}
	}
}

// written are the variables that a node assigns or lends by address.
func written(n ast.Node) []*ast.Ident {
	var to []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		to = n.Lhs
	case *ast.IncDecStmt:
		to = []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			to = []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			to = []ast.Expr{n.X}
		}
	}
	var names []*ast.Ident
	for _, x := range to {
		if id := root(x); id != nil {
			names = append(names, id)
		}
	}
	return names
}

// root is the variable that x is a piece of: v of v.f[i].
func root(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.SelectorExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// TestProcess holds that only the command sees the process: its arguments,
// streams, exit and signals, and that contexts begin there.
func TestProcess(t *testing.T) {
	t.Parallel()
	forbidden := map[string]string{
		"os":        "^(Args|Stdin|Stdout|Stderr|Exit)$",
		"os/signal": "",
		"context":   "^(Background|TODO)$",
		"fmt":       "^(Print|Printf|Println)$",
		"log":       "",
		"flag":      "",
	}
	for _, f := range folders(t) {
		if f.main() || !f.shipped() {
			continue
		}
		for _, s := range f.files {
			for path, names := range forbidden {
				if s.test() {
					continue
				}
				match := regexp.MustCompile(names)
				selectors(s, path, func(n ast.Node, name string) {
					if match.MatchString(name) {
						t.Errorf("%s: %s.%s belongs to cmd/lifeboat", f.where(n), path, name)
					}
				})
			}
		}
	}
}

// TestPanics holds that a panic says that it is a bug.
func TestPanics(t *testing.T) {
	t.Parallel()
	for _, f := range folders(t) {
		for _, s := range f.files {
			if s.test() || !f.shipped() {
				continue
			}
			ast.Inspect(s.tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if fn, ok := call.Fun.(*ast.Ident); ok && fn.Name == "panic" && !strings.HasPrefix(firstText(call.Args[0]), `"BUG: `) {
					t.Errorf("%s: a panic is for bugs, and says so: \"BUG: …\"", f.where(call))
				}
				return true
			})
		}
	}
}

// firstText is the first literal in x, as it is written.
func firstText(x ast.Expr) string {
	text := ""
	ast.Inspect(x, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && text == "" {
			text = lit.Value
		}
		return text == ""
	})
	return text
}

// decoders are the packages that read bytes from outside.
var decoders = []string{
	"boards", "clone/codec", "clone/filesystem/ext4", "clone/filesystem/fat", "clone/filesystem/swap",
	"clone/identity", "clone/image", "clone/increment", "clone/layout", "clone/repo", "internal/nightly", "netboot",
}

// TestDecodersAreFuzzed holds that each decoder meets hostile bytes.
func TestDecodersAreFuzzed(t *testing.T) {
	t.Parallel()
	fuzzed := map[string]bool{}
	for _, f := range folders(t) {
		for _, s := range f.files {
			for _, d := range s.tree.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && s.test() && strings.HasPrefix(fn.Name.Name, "Fuzz") {
					fuzzed[f.name] = true
				}
			}
		}
	}
	for _, name := range decoders {
		if !fuzzed[name] {
			t.Errorf("package %s reads outside bytes and has no fuzz test", name)
		}
	}
}
