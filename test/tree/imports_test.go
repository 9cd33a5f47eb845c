// Package tree checks the rules for packages: which may import which, and what is public.
package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/types"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

const module = "ailee-recovery/"

// imported is what the go command says about a package.
type imported struct {
	ImportPath string
	Imports    []string
	Deps       []string // everything that it is linked with
	CgoFiles   []string
}

// TestImports: all packages follow the rules for imports.
func TestImports(t *testing.T) {
	all := listed(t, "./...")
	require.Greater(t, len(all), 40)
	require.Empty(t, misplaced(all))
}

// TestImportsAreSeen: breaking any of the rules is noticed.
func TestImportsAreSeen(t *testing.T) {
	for _, planted := range []imported{
		{ImportPath: module + "internal/command/l2verify", Imports: []string{module + "internal/command/prunesnapshots"}},
		{ImportPath: module + "internal/command/l2verify/deeper", Imports: []string{module + "internal/command/l2verifyall"}},
		{ImportPath: module + "internal/bitcoin", Imports: []string{module + "internal/cli"}},
		{ImportPath: module + "internal/exit", Imports: []string{module + "internal/cli/terminal"}},
		{ImportPath: module + "internal/durable", Imports: []string{"github.com/urfave/cli/v2"}},
		{ImportPath: module + "snapshot", Imports: []string{"net"}, Deps: []string{"net"}},
		{ImportPath: module + "snapshot/statejson", Deps: []string{module + "reorgdb"}},
	} {
		all := []imported{planted, {ImportPath: "net", CgoFiles: []string{"cgo_linux.go"}}, {ImportPath: module + "reorgdb", CgoFiles: []string{"read.go"}}}
		require.Len(t, misplaced(all), 1, "%s", planted.ImportPath)
	}
}

// misplaced lists the imports that break a rule.
func misplaced(all []imported) (found []string) {
	cgo := map[string]bool{}
	for _, p := range all {
		cgo[p.ImportPath] = len(p.CgoFiles) > 0
	}
	for _, p := range all {
		for _, to := range p.Imports {
			switch {
			case commandOf(p.ImportPath) != "" && commandOf(to) != "" && commandOf(p.ImportPath) != commandOf(to):
				found = append(found, fmt.Sprintf("the command %s imports the command %s", p.ImportPath, to))
			case isBelowCommands(p.ImportPath) && isCommandLine(to):
				found = append(found, fmt.Sprintf("%s, below the commands, imports %s", p.ImportPath, to))
			}
		}
		if within(p.ImportPath, module+"snapshot") {
			for _, to := range p.Deps {
				if cgo[to] {
					found = append(found, fmt.Sprintf("%s needs %s, which uses cgo", p.ImportPath, to))
				}
			}
		}
	}
	return found
}

// commandOf returns the command that a package belongs to, "" for none.
func commandOf(path string) string {
	rest, ok := strings.CutPrefix(path, module+"internal/command/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func isBelowCommands(path string) bool {
	return within(path, module+"internal") && !slices.ContainsFunc([]string{"multicall", "command", "cli", "clitest"},
		func(above string) bool { return within(path, module+"internal/"+above) })
}

func isCommandLine(path string) bool {
	return within(path, module+"internal/cli") || within(path, "github.com/urfave/cli")
}

// within reports whether a package is the one at path or below it.
func within(pkg, path string) bool { return pkg == path || strings.HasPrefix(pkg, path+"/") }

// listed asks the go command for packages and everything that they are linked with.
func listed(t *testing.T, patterns ...string) (all []imported) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Imports,Deps,CgoFiles"}, patterns...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p imported
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

// TestPublicTypes: importers of snapshot and reorgdb can name every type that they find there.
func TestPublicTypes(t *testing.T) {
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedTypes, Dir: "../.."}, "./snapshot/...", "./reorgdb/...")
	require.NoError(t, err)
	require.Len(t, loaded, 3)
	for _, p := range loaded {
		require.Empty(t, p.Errors)
		w := &publicTypes{seen: map[types.Type]bool{}}
		for _, name := range p.Types.Scope().Names() {
			if object := p.Types.Scope().Lookup(name); object.Exported() {
				w.walk(p.Name+"."+name, object.Type())
			}
		}
		require.Empty(t, w.internal)
		require.NotEmpty(t, w.seen)
	}
}

// publicTypes walks the types that an importer can reach.
type publicTypes struct {
	seen     map[types.Type]bool
	internal []string
}

func (w *publicTypes) walk(path string, t types.Type) {
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		w.walk(path, types.Unalias(t))
	case *types.Named:
		object := t.Obj()
		if object.Pkg() == nil || !strings.HasPrefix(object.Pkg().Path(), module) {
			return
		}
		if strings.Contains(object.Pkg().Path()+"/", "/internal/") {
			w.internal = append(w.internal, path+": "+t.String())
			return
		}
		for method := range t.Methods() {
			if method.Exported() {
				w.walk(path+"."+method.Name(), method.Type())
			}
		}
		w.walk(path, t.Underlying())
	case *types.Struct:
		for field := range t.Fields() {
			if field.Exported() {
				w.walk(path+"."+field.Name(), field.Type())
			}
		}
	case *types.Signature:
		w.walk(path, t.Params())
		w.walk(path, t.Results())
	case *types.Tuple:
		for variable := range t.Variables() {
			w.walk(path, variable.Type())
		}
	case *types.Interface:
		for method := range t.Methods() {
			w.walk(path+"."+method.Name(), method.Type())
		}
	case *types.Map:
		w.walk(path, t.Key())
		w.walk(path, t.Elem())
	case interface{ Elem() types.Type }: // pointer, slice, array, channel
		w.walk(path, t.Elem())
	}
}
