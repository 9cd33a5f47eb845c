// Command long prints, for go test -run, which tests in the given folders have a long form: those
// that call testing.Short, directly or through functions of their package.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	tests := map[string]bool{}
	for _, dir := range os.Args[1:] {
		if err := find(dir, tests); err != nil {
			fmt.Fprintln(os.Stderr, "long: error:", err)
			os.Exit(1)
		}
	}
	fmt.Printf("^(%s)$\n", strings.Join(slices.Sorted(maps.Keys(tests)), "|"))
}

// find adds the tests with a long form in one folder.
func find(dir string, tests map[string]bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return err
	}
	uses := map[string]map[string]bool{} // the names that each function or method uses
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				uses[f.Name.Name] = named(f)
			}
		}
	}
	for test := range uses {
		if (strings.HasPrefix(test, "Test") || strings.HasPrefix(test, "Fuzz")) && reaches(test, uses, map[string]bool{}) {
			tests[test] = true
		}
	}
	return nil
}

// named returns every name in a function, and testing.Short if the function calls it.
func named(f *ast.FuncDecl) map[string]bool {
	all := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "testing" && n.Sel.Name == "Short" {
				all["testing.Short"] = true
			}
		case *ast.Ident:
			all[n.Name] = true
		}
		return true
	})
	return all
}

// reaches reports whether a function calls testing.Short, or names one that does.
func reaches(name string, uses map[string]map[string]bool, seen map[string]bool) bool {
	if seen[name] {
		return false
	}
	seen[name] = true
	for used := range uses[name] {
		if used == "testing.Short" || used != name && reaches(used, uses, seen) {
			return true
		}
	}
	return false
}
