package tree

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWithoutCgo: the Makefile builds exactly those commands without cgo that need no C code of
// this module or others.
func TestWithoutCgo(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	named := regexp.MustCompile(`(?m)^PURE := (.+)$`).FindStringSubmatch(string(text))
	require.NotNil(t, named)

	all := listed(t, "./cmd/...")
	cgo := map[string]bool{}
	for _, p := range all {
		// internal/stdio also works without cgo.
		cgo[p.ImportPath] = len(p.CgoFiles) > 0 && p.ImportPath != module+"internal/stdio" && (strings.HasPrefix(p.ImportPath, module) || strings.Contains(p.ImportPath, "."))
	}
	var pure []string
	linked := 0
	for _, p := range all {
		if !strings.HasPrefix(p.ImportPath, module+"cmd/") {
			continue
		}
		needsC := false
		for _, dep := range p.Deps {
			needsC = needsC || cgo[dep]
		}
		if needsC {
			linked++
		} else {
			pure = append(pure, filepath.Base(p.ImportPath))
		}
	}
	require.ElementsMatch(t, pure, strings.Fields(named[1]))
	require.NotZero(t, linked)
}
