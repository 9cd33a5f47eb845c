package reorgtool

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReleases: releases names the RocksDB release of each version of grocksdb that this
// module is built with.
func TestReleases(t *testing.T) {
	files, err := filepath.Glob("../../packaging/rocksdb/*.mod")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	want := map[string]string{"../../go.mod": "7.8"}
	for _, file := range files {
		want[file] = strings.TrimSuffix(filepath.Base(file), ".mod")
	}
	for file, release := range want {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		version := regexp.MustCompile(`grocksdb (v[0-9.]+)`).FindSubmatch(text)
		require.NotNil(t, version, file)
		require.Equal(t, release, releases[string(version[1])], file)
	}
	require.Len(t, releases, len(want))
	require.Contains(t, append([]string{"unknown"}, "7.8", "8.9", "9.10"), RocksDB())
}
