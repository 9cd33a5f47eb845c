package bitcoin_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/rpcclient"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
)

const benchHeights = 900_000

// BenchmarkCall makes single calls: with the client, which goes through rpcclient and its own
// transport, with rpcclient alone, and with net/http alone, which checks nothing.
func BenchmarkCall(b *testing.B) {
	url := bitcointest.NewChain(10).Serve(b)
	b.Run("client", func(b *testing.B) {
		c, err := bitcoin.Open(bitcoin.Options{URL: url}, b.Fatalf)
		require.NoError(b, err)
		for b.Loop() {
			_, err := c.BlockHash(b.Context(), 7)
			require.NoError(b, err)
		}
	})
	b.Run("rpcclient", func(b *testing.B) {
		c, err := rpcclient.New(connConfig(url), nil)
		require.NoError(b, err)
		defer c.Shutdown()
		for b.Loop() {
			_, err := c.GetBlockHash(7)
			require.NoError(b, err)
		}
	})
	b.Run("net/http", func(b *testing.B) {
		for b.Loop() {
			post(b, url, []byte(`{"jsonrpc":"1.0","id":1,"method":"getblockhash","params":[7]}`))
		}
	})
}

// BenchmarkBatches fetches 100,000 hashes in batches of 1,000: with the client, and with
// the batches of rpcclient.
func BenchmarkBatches(b *testing.B) {
	const heights, size = 100_000, 1000
	url := bitcointest.NewChain(heights).Serve(b)
	b.Run("client", func(b *testing.B) {
		c, err := bitcoin.Open(bitcoin.Options{URL: url}, b.Fatalf)
		require.NoError(b, err)
		for b.Loop() {
			require.NoError(b, c.BlockHashes(b.Context(), 1, heights, func(int64, string) error { return nil }))
		}
	})
	b.Run("rpcclient", func(b *testing.B) {
		c, err := rpcclient.NewBatch(connConfig(url))
		require.NoError(b, err)
		defer c.Shutdown()
		for b.Loop() {
			for first := int64(1); first <= heights; first += size {
				var hashes []rpcclient.FutureGetBlockHashResult
				for height := first; height < first+size; height++ {
					hashes = append(hashes, c.GetBlockHashAsync(height))
				}
				require.NoError(b, c.Send())
				for _, h := range hashes {
					_, err := h.Receive()
					require.NoError(b, err)
				}
			}
		}
	})
}

func connConfig(url string) *rpcclient.ConnConfig {
	return &rpcclient.ConnConfig{Host: strings.TrimPrefix(url, "http://"), HTTPPostMode: true, DisableTLS: true, DisableAuth: true}
}

func post(b *testing.B, url string, body []byte) {
	resp, err := http.Post(url, "application/json", bytes.NewReader(body))
	require.NoError(b, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(b, err)
	require.NoError(b, resp.Body.Close())
}

// BenchmarkBlockHashes fetches and discards, against BenchmarkBare.
func BenchmarkBlockHashes(b *testing.B) {
	c, err := bitcoin.Open(bitcoin.Options{URL: bitcointest.NewChain(benchHeights).Serve(b)}, b.Fatalf)
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, c.BlockHashes(context.Background(), 1, benchHeights, func(int64, string) error { return nil }))
	}
}

// BenchmarkBare posts the same batches over one connection and checks nothing.
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
			post(b, url, append(body, ']'))
		}
	}
}
