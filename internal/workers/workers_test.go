package workers_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/workers"
)

var none []int

func TestPanicsAreErrors(t *testing.T) {
	group, ctx := workers.WithContext(context.Background())
	group.Go(func() error { return errors.New(string(rune(none[7]))) })
	<-ctx.Done() // the panic cancels it
	err := group.Wait()
	var p *workers.PanicError
	require.ErrorAs(t, err, &p)
	require.Regexp(t, `^runtime error: index out of range \[7\] with length 0 in internal/workers_test\.TestPanicsAreErrors\.func1 \(workers_test\.go:\d+\)$`, err.Error())
	require.Contains(t, string(p.Stack), "workers_test.go")

	require.ErrorAs(t, <-workers.Start(func() error { panic(p) }), &p, "one that is passed on is the same")
	err = <-workers.Start(func() error { panic("a password\n") })
	require.Regexp(t, `^a panic with a string in internal/workers_test\.`, err.Error())
	require.NoError(t, <-workers.Start(func() error { return nil }))
	require.ErrorIs(t, <-workers.Start(func() error { return context.Canceled }), context.Canceled)
}

// TestNoOtherGoroutines: only goroutines that this package starts may panic safely.
func TestNoOtherGoroutines(t *testing.T) {
	root := filepath.Join("..", "..")
	checked := 0
	for _, dir := range []string{"cmd", "internal", "reorgdb", "snapshot"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			switch filepath.Base(filepath.Dir(path)) {
			case "workers", "bitcointest", "clitest", "reorgtest":
				return nil
			}
			checked++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			require.NoError(t, err)
			for _, i := range file.Imports {
				require.NotEqual(t, `"golang.org/x/sync/errgroup"`, i.Path.Value, path)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				_, starts := n.(*ast.GoStmt)
				require.False(t, starts, "%s: a go statement", set.Position(file.Pos()))
				return true
			})
			return nil
		}))
	}
	require.Greater(t, checked, 100)
}
