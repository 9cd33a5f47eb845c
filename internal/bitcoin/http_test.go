package bitcoin_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
)

// TestHTTP1Alone: over HTTP/2, net/http may send a request again, even one that must not be
// carried out twice. A process reads the system's roots only once, so this runs in another one.
func TestHTTP1Alone(t *testing.T) {
	const given = "AILEE_TEST_HTTPS_URL"
	if url := os.Getenv(given); url != "" {
		c, err := bitcoin.Open(bitcoin.Options{URL: url}, t.Logf)
		require.NoError(t, err)
		require.NoError(t, c.Call(t.Context(), "getblockcount", nil, nil))
		require.NoError(t, c.Send(t.Context(), "getblockcount", nil, nil))
		return
	}
	protocols := make(chan string, 8)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto
		_, _ = fmt.Fprintf(w, `{"result":7,"error":null,"id":%d}`, len(protocols))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	require.NoError(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	inAnotherProcess(t, given, server.URL, "SSL_CERT_FILE="+roots)
	require.Len(t, protocols, 2)
	require.Equal(t, "HTTP/1.1", <-protocols)
	require.Equal(t, "HTTP/1.1", <-protocols)
}
