package bitcoin_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
)

func open(t *testing.T, n *bitcointest.Node) *bitcoin.Client {
	c, err := bitcoin.Open(bitcoin.Options{URL: n.URL, User: bitcointest.User, Password: bitcointest.Password, CACert: n.CertFile, Wait: time.Hour}, t.Logf)
	require.NoError(t, err)
	return c
}

func TestRealNode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	n := bitcointest.StartNode(t, false)
	c := open(t, n)
	mined := n.Generate(30)

	info, err := c.ChainInfo(ctx)
	require.NoError(t, err)
	require.Equal(t, "regtest", info.Chain)
	require.EqualValues(t, 30, info.Blocks)
	require.EqualValues(t, 30, info.Headers)
	require.Equal(t, mined[29], info.BestBlockHash)
	require.False(t, info.InitialBlockDownload)
	median, err := c.MedianTime(ctx, 30)
	require.NoError(t, err)
	require.Equal(t, info.MedianTime, median)
	var count int64
	require.NoError(t, c.Call(ctx, "getblockcount", nil, &count))
	require.EqualValues(t, 30, count)

	var hashes []string
	require.NoError(t, c.BlockHashes(ctx, 1, 30, func(_ int64, hash string) error {
		hashes = append(hashes, hash)
		return nil
	}))
	require.Equal(t, mined, hashes)
	previous := ""
	require.NoError(t, c.BlockHeaders(ctx, 0, 30, func(h bitcoin.Header) error {
		require.Equal(t, previous, h.PreviousBlockHash)
		require.Equal(t, n.Hash(h.Height), h.Hash)
		require.Equal(t, 30-h.Height+1, h.Confirmations)
		previous = h.Hash
		return nil
	}))

	_, err = c.BlockHash(ctx, 31)
	require.True(t, bitcoin.AboveTip(err), err)
	_, err = c.BlockHeader(ctx, strings.Repeat("12", 32))
	var rpc *btcjson.RPCError
	require.ErrorAs(t, err, &rpc)
	require.EqualValues(t, btcjson.ErrRPCBlockNotFound, rpc.Code)
	err = c.Send(ctx, "sendrawtransaction", []any{"00"}, nil)
	require.ErrorAs(t, err, &rpc)
	require.NotErrorIs(t, err, bitcoin.ErrOutcomeUnknown)
	wrong, err := bitcoin.Open(bitcoin.Options{URL: n.URL, User: user, Password: password, Wait: time.Hour}, t.Errorf)
	require.NoError(t, err)
	err = wrong.Call(ctx, "getblockcount", nil, new(int64))
	require.ErrorContains(t, err, "HTTP status 401")

	n.InvalidateBlock(mined[20])
	require.EqualValues(t, 20, n.Height())
	other := n.Generate(11)
	require.NotEqual(t, mined[20], other[0])
	hash, err := c.BlockHash(ctx, 21)
	require.NoError(t, err)
	require.Equal(t, other[0], hash)
	n.ReconsiderBlock(mined[20])
	require.Equal(t, slices.Concat(mined[:20], other)[30], n.Hash(31))
}

// A node that is stopped, killed and restarted is waited for.
func TestRealNodeComesBack(t *testing.T) {
	t.Parallel()
	n := bitcointest.StartNode(t, true)
	c := open(t, n)
	n.Generate(3)
	for _, end := range []func(){n.Stop, n.Kill} {
		end()
		var height int64
		done := make(chan error, 1)
		go func() { done <- c.Call(context.Background(), "getblockcount", nil, &height) }()
		n.Start()
		require.NoError(t, <-done)
		require.Equal(t, n.Height(), height)
	}

	stranger, err := bitcoin.Open(bitcoin.Options{URL: n.URL, User: user, Password: password, Wait: time.Hour}, t.Errorf)
	require.NoError(t, err)
	err = stranger.Call(context.Background(), "getblockcount", nil, new(int64))
	require.ErrorContains(t, err, "certificate")
	plain, err := bitcoin.Open(bitcoin.Options{URL: strings.Replace(n.URL, "https", "http", 1), Wait: time.Hour}, t.Errorf)
	require.NoError(t, err)
	err = plain.Call(context.Background(), "getblockcount", nil, new(int64))
	require.ErrorContains(t, err, "HTTP status 400")
}
