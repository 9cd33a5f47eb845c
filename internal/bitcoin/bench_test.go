package bitcoin_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcointest"
)

const benchHeights = 900_000

// BenchmarkBlockHashes fetches and discards, against BenchmarkBare.
func BenchmarkBlockHashes(b *testing.B) {
	c, err := bitcoin.Open(bitcoin.Options{URL: bitcointest.NewChain(benchHeights).Serve(b)}, b.Fatalf)
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, c.BlockHashes(context.Background(), 1, benchHeights, func(int64, string) error { return nil }))
	}
}

// BenchmarkBare posts the same batches over one connection and looks at nothing.
func BenchmarkBare(b *testing.B) {
	url := bitcointest.NewChain(benchHeights).Serve(b)
	for b.Loop() {
		for first := 1; first <= benchHeights; first += 1000 {
			var body []byte
			for height := first; height < first+1000; height++ {
				n := strconv.Itoa(height)
				body = append(body, `,{"jsonrpc":"1.0","id":`+n+`,"method":"getblockhash","params":[`+n+`]}`...)
			}
			body[0] = '['
			resp, err := http.Post(url, "application/json", bytes.NewReader(append(body, ']')))
			require.NoError(b, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(b, err)
			require.NoError(b, resp.Body.Close())
		}
	}
}
