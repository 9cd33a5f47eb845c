package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMirror: a mirror that cannot be reached or is not signed is a one-line error, and leaves
// nothing behind.
func TestMirror(t *testing.T) {
	unsigned := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/debian/dists/trixie/Release" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("Origin: Debian\nCodename: trixie\nDate: Sat, 21 Nov 2026 09:15:44 UTC\nSHA256:\n"))
	}))
	defer unsigned.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct{ mirror, says string }{
		"gone":     {gone.URL + "/debian", "Could not connect"},
		"unsigned": {unsigned.URL + "/debian", "is not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			_, err := releases[2].node(cache, c.mirror)
			require.ErrorIs(t, err, errMirror)
			assert.Contains(t, err.Error(), c.mirror)
			assert.Contains(t, err.Error(), c.says)
			assert.NotContains(t, err.Error(), "\n")
			assert.Contains(t, hint(err), "make matrix MIRROR=")
			left, err := os.ReadDir(cache)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// TestNamedMirror: a mirror in the environment is used instead of apt's.
func TestNamedMirror(t *testing.T) {
	t.Setenv("MIRROR", "http://127.0.0.1/elsewhere")
	named, err := mirror()
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1/elsewhere", named)
}
