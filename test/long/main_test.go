package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a_test.go"), []byte(`package a

func TestItself(t *testing.T) { if testing.Short() { t.Skip() } }
func TestThroughOthers(t *testing.T) { rounds() }
func TestNeither(t *testing.T) { short(); loop() }
func loop() { loop() }
`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b_test.go"), []byte(`package a

func rounds() int { return p.count() }
func (p play) count() int { if testing.Short() { return 1 }; return 9 }
func short() {}
`), 0o600))
	tests := map[string]bool{}
	require.NoError(t, find(dir, tests))
	require.Equal(t, map[string]bool{"TestItself": true, "TestThroughOthers": true}, tests)
}
