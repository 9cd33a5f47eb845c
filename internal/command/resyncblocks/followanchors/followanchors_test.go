package followanchors_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/anchortx"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/command/resyncblocks/followanchors"
	"ailee-recovery/reorgdb"
)

var ctx = context.Background()

// printed returns what a command prints for a summary.
func printed(s followanchors.Summary) (stdout, stderr string) {
	var out, errs bytes.Buffer
	cli.Execute(ctx, cli.Tool{Name: "test", Run: func(_ context.Context, _ *urfave.Context, out *cli.IO) error {
		s.Print(out)
		return nil
	}}, []string{"test"}, cli.Streams{Out: &out, Err: &errs})
	return out.String(), errs.String()
}

// TestFollow follows anchors of a real node's transactions through a reorg and back.
func TestFollow(t *testing.T) {
	t.Parallel()
	n := bitcointest.StartNode(t, false)
	c, err := bitcoin.Open(bitcoin.Options{URL: n.URL, User: bitcointest.User, Password: bitcointest.Password, Wait: time.Hour}, t.Logf)
	require.NoError(t, err)
	db, err := reorgdb.Create(filepath.Join(t.TempDir(), "db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	now := uint64(time.Now().UnixMilli())
	const hour = 3_600_000
	options := followanchors.Options{Find: anchortx.Options{Scan: 1000}, NowMs: now}

	n.Generate(bitcointest.Maturity + 2)
	txid := n.Send(n.Transaction(1, []byte{0x6a, 1, 1}))
	base := reorgdb.Anchor{BitcoinTxID: txid, BroadcastTime: now - 2*hour, RetryCount: 3, L2StateRoot: "root"}
	put := func(name string, change func(*reorgdb.Anchor)) {
		a := base
		a.Hash = name
		change(&a)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error { return u.Anchor(a) }))
	}
	put("confirmed", func(a *reorgdb.Anchor) { a.Status, a.BitcoinHeight, a.Confirmations = reorgdb.Confirmed, 3, 90 })
	put("failed", func(a *reorgdb.Anchor) { a.Status = reorgdb.FailedOrphaned })
	put("invalidated", func(a *reorgdb.Anchor) { a.Status, a.BitcoinHeight = reorgdb.InvalidatedReorg, 7 })
	put("pending", func(*reorgdb.Anchor) {})
	put("young", func(a *reorgdb.Anchor) { a.BroadcastTime = now - 1000 })
	left := map[string]func(*reorgdb.Anchor){
		"no transaction": func(a *reorgdb.Anchor) { a.BitcoinTxID = "" },
		"odd":            func(a *reorgdb.Anchor) { a.BitcoinTxID = "TX" },
		// Too old for the number of blocks that may be searched.
		"too old": func(a *reorgdb.Anchor) { a.BitcoinTxID, a.BroadcastTime = strings.Repeat("12", 32), 0 },
	}

	read := func() map[string]reorgdb.Anchor {
		all := map[string]reorgdb.Anchor{}
		for a, err := range db.Anchors(ctx) {
			require.NoError(t, err)
			require.EqualValues(t, 3, a.RetryCount)
			require.Equal(t, "root", a.L2StateRoot)
			all[a.Key] = a.Anchor
		}
		return all
	}
	// follow expects the status, height and confirmations for every anchor except those
	// named.
	type want struct {
		status        reorgdb.AnchorStatus
		height        int64
		confirmations uint64
	}
	follow := func(w want, changed map[string]want) followanchors.Summary {
		t.Helper()
		before := read()
		dry := options
		dry.DryRun = true
		planned, err := followanchors.Follow(ctx, db, c, dry)
		require.NoError(t, err)
		require.Equal(t, before, read())
		sum, err := followanchors.Follow(ctx, db, c, options)
		require.NoError(t, err)
		require.Equal(t, planned, sum)
		after := read()
		for _, out := range sum.Outcomes {
			require.Equal(t, before[out.Before.Hash], out.Before)
			require.Equal(t, after[out.Before.Hash], out.After)
		}
		for name, a := range after {
			expected, ok := changed[name]
			if !ok {
				expected = w
			}
			if left[name] == nil {
				require.Equal(t, expected, want{a.Status, int64(a.BitcoinHeight), a.Confirmations}, name)
			} else {
				require.Equal(t, before[name], a)
			}
		}
		second, err := followanchors.Follow(ctx, db, c, options)
		require.NoError(t, err)
		require.Zero(t, second.Changed)
		return sum
	}

	sum := follow(want{reorgdb.Pending, 0, 0}, nil)
	require.Equal(t, 3, sum.Changed)
	require.Zero(t, sum.Unknown)
	mined := n.Generate(3)[0]
	height := n.Height() - 2
	sum = follow(want{reorgdb.Pending, height, 3}, nil)
	require.Equal(t, 5, sum.Changed)
	said, warned := printed(sum)
	require.Empty(t, warned)
	require.Contains(t, said, "Anchor confirmed: PENDING at height 103 with 3 confirmation(s), was PENDING: transaction "+txid+" is in the block at height 103, 3 confirmation(s)\n")
	require.Contains(t, said, "Anchors: 5 followed, 5 changed, 0 could not be determined\n")
	doc, err := json.Marshal(sum.Document().Anchors[0])
	require.NoError(t, err)
	require.JSONEq(t, `{"anchor_hash": "confirmed", "txid": "`+txid+`", "state": "mined", "why": "in the block at height 103, 3 confirmation(s)", "changed": true,
		"before": {"status": "PENDING", "height": 0, "confirmations": 0}, "after": {"status": "PENDING", "height": 103, "confirmations": 3}}`, string(doc))
	n.Generate(3)
	follow(want{reorgdb.Confirmed, height, 6}, nil)
	options.Confirmations = 10
	follow(want{reorgdb.Confirmed, height, 6}, nil) // not undone
	options.Confirmations = 0

	// Mined again, in another block.
	n.InvalidateBlock(mined)
	follow(want{reorgdb.Pending, 0, 0}, nil)
	put("confirmed", func(a *reorgdb.Anchor) { a.Status, a.BitcoinHeight, a.Confirmations = reorgdb.Confirmed, 102, 90 })
	height = n.Height() + 1
	second := n.Generate(2)[0]
	follow(want{reorgdb.Pending, height, 2}, nil)
	n.Generate(10)
	follow(want{reorgdb.Confirmed, height, 12}, nil)
	put("invalidated", func(a *reorgdb.Anchor) { a.Status, a.BitcoinHeight = reorgdb.InvalidatedReorg, 7 })
	require.Equal(t, 1, follow(want{reorgdb.Confirmed, height, 12}, nil).Changed)

	// Records that cannot be followed are left, and a warning says so.
	for name, change := range left {
		put(name, change)
	}
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		return u.Put(reorgdb.DefaultFamily, reorgdb.AnchorKey("mismatch"), []byte("pending|"+txid+"|0|0|0|3|0|root"))
	}))
	options.Find.Scan = 50
	sum, err = followanchors.Follow(ctx, db, c, options)
	require.NoError(t, err)
	require.Equal(t, 4, sum.Unknown)
	for _, out := range sum.Outcomes {
		if out.State == anchortx.Unknown {
			require.False(t, out.Changed())
			require.NotEmpty(t, out.Why)
		}
	}
	said, warned = printed(sum)
	require.Contains(t, said, "Anchors: 5 followed, 0 changed, 4 could not be determined\n")
	require.Contains(t, warned, "warning: anchor odd is left as it is, PENDING: its record names no transaction\n")
	require.Equal(t, 4, strings.Count(warned, "\n"))
	require.Equal(t, "mismatch", sum.Outcomes[3].Why[len(sum.Outcomes[3].Why)-8:])
	require.NoError(t, db.Update(func(u *reorgdb.Update) error {
		for name := range left {
			u.DeleteAnchor(name)
		}
		u.DeleteAnchor("mismatch")
		return nil
	}))
	options.Find.Scan = 1000

	// No longer anywhere: btcd forgets its mempool.
	n.InvalidateBlock(second)
	n.Stop()
	n.Start()
	n.Generate(20)
	put("pending", func(a *reorgdb.Anchor) { a.BroadcastTime, a.BitcoinHeight, a.Confirmations = now-1000, 5, 2 })
	follow(want{reorgdb.FailedOrphaned, 0, 0}, map[string]want{
		"young":   {reorgdb.InvalidatedReorg, height, 0},
		"pending": {reorgdb.Pending, 0, 0},
	})

	// A transaction that is nowhere is reported each time, unless it has already failed.
	sum, err = followanchors.Follow(ctx, db, c, options)
	require.NoError(t, err)
	_, warned = printed(sum)
	for name, status := range map[string]string{"young": "INVALIDATED_REORG", "pending": "PENDING"} {
		require.Contains(t, warned, "warning: anchor "+name+", "+status+": transaction "+txid+" is neither in the active chain nor in the mempool")
	}
	require.NotContains(t, warned, "FAILED_ORPHANED")
	require.Equal(t, 2, strings.Count(warned, "\n"))

	// Nothing is written after an error.
	n.Stop()
	before := read()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = followanchors.Follow(canceled, db, c, options)
	require.Error(t, err)
	require.Equal(t, before, read())
}
