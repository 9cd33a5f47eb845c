package anchortx_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/snapshot"
)

var ctx = context.Background()

// other is an id that no transaction has.
var other = strings.Repeat("0123", 16)

func open(t *testing.T, n *bitcointest.Node) *bitcoin.Client {
	c, err := bitcoin.Open(bitcoin.Options{URL: n.URL, User: bitcointest.User, Password: bitcointest.Password, Wait: time.Hour}, t.Logf)
	require.NoError(t, err)
	return c
}

// find looks for one transaction.
func find(t *testing.T, c *bitcoin.Client, w anchortx.Wanted, scan int64) anchortx.Found {
	t.Helper()
	found, err := anchortx.Find(ctx, c, []anchortx.Wanted{w}, anchortx.Options{Scan: scan})
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// The life of a transaction on a real node: in the mempool, mined, removed by a reorg, mined
// again, gone.
func TestRealNode(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{"index": {"--txindex"}, "no index": nil} {
		indexed := options != nil
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := bitcointest.StartNode(t, false, options...)
			c := open(t, n)
			n.Generate(bitcointest.Maturity + 1)
			script := snapshot.OpReturnScript([]byte("the commitment"))
			tx := n.Transaction(1, script)
			txid := n.Send(tx)
			sent := time.Now().Unix()
			wanted := anchortx.Wanted{TxID: txid, Since: sent}

			pending := find(t, c, wanted, anchortx.DefaultScan)
			require.Equal(t, anchortx.InMempool, pending.State)
			require.True(t, anchortx.Carries(pending.Tx, script))
			require.False(t, anchortx.Carries(pending.Tx, script[:5]))

			mined := n.Generate(3)[0]
			height := n.Height() - 2
			check := func(found anchortx.Found) {
				t.Helper()
				require.Equal(t, anchortx.Mined, found.State, found.Why)
				require.Equal(t, height, found.Height)
				require.Equal(t, n.Hash(height), found.BlockHash)
				require.Equal(t, n.Height()-height+1, found.Confirmations)
				require.True(t, anchortx.Carries(found.Tx, script))
			}
			check(find(t, c, wanted, anchortx.DefaultScan))
			check(find(t, c, anchortx.Wanted{TxID: txid, Height: height}, 0)) // where it should be
			check(find(t, c, anchortx.Wanted{TxID: txid}, 3))                 // among the latest blocks
			check(find(t, c, anchortx.Wanted{TxID: txid, Height: height + 1, Since: sent}, anchortx.DefaultScan))
			if found := find(t, c, anchortx.Wanted{TxID: txid}, 2); indexed {
				check(found)
			} else {
				require.Equal(t, anchortx.Unknown, found.State)
				require.Contains(t, found.Why, "not in the 2 block(s) starting at height 103")
			}

			// many at once, in order
			both, err := anchortx.Find(ctx, c, []anchortx.Wanted{{TxID: other, Since: sent}, wanted, {TxID: other}, wanted}, anchortx.Options{Scan: anchortx.DefaultScan})
			require.NoError(t, err)
			require.Equal(t, anchortx.Absent, both[0].State, both[0].Why)
			check(both[1])
			check(both[3])
			require.Equal(t, anchortx.Absent, both[2].State)
			if found := find(t, c, anchortx.Wanted{TxID: other}, 50); indexed {
				require.Equal(t, anchortx.Absent, found.State)
			} else {
				require.Equal(t, anchortx.Unknown, found.State, "the first blocks were not searched")
			}
			late := find(t, c, anchortx.Wanted{TxID: other, Since: time.Now().Unix() + 1e6}, anchortx.DefaultScan)
			require.Equal(t, anchortx.Unknown, late.State)
			require.Contains(t, late.Why, "no block from after it was sent")

			n.InvalidateBlock(mined)
			require.Equal(t, anchortx.InMempool, find(t, c, wanted, anchortx.DefaultScan).State)
			height = n.Height() + 1
			second := n.Generate(5)[0]
			check(find(t, c, wanted, anchortx.DefaultScan))

			// btcd forgets its mempool.
			n.InvalidateBlock(second)
			n.Stop()
			n.Start()
			n.Generate(6)
			require.Equal(t, anchortx.Absent, find(t, c, wanted, anchortx.DefaultScan).State)
			require.Equal(t, anchortx.Absent, find(t, c, anchortx.Wanted{TxID: txid, Height: height, Since: sent}, anchortx.DefaultScan).State)
		})
	}
}
