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
	"ailee-recovery/internal/bitcoin/bitcointest"
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
			body := make([]byte, 0, 100_000)
			for height := int64(first); height < int64(first)+1000; height++ {
				body = strconv.AppendInt(append(body, `,{"jsonrpc":"1.0","id":`...), height, 10)
				body = strconv.AppendInt(append(body, `,"method":"getblockhash","params":[`...), height, 10)
				body = append(body, "]}"...)
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
