package reorgtool_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/reorgdb"
)

// TestSameChain: one stored hash of the chain is enough, even of a block that was replaced
// since, or that is stored at another height.
func TestSameChain(t *testing.T) {
	chain := bitcointest.NewChain(100)
	other := strings.Repeat("ab", 32) // a block that the node does not know
	old := chain.Hash(95)
	chain.Reorganise(95, 100)
	c, err := bitcoin.Open(bitcoin.Options{URL: chain.Serve(t)}, t.Logf)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		blocks []reorgdb.Block
		code   int
	}{
		"none":                         {nil, exit.OK},
		"the first block alone":        {[]reorgdb.Block{{Height: 0, Hash: other}}, exit.OK},
		"in the chain":                 {[]reorgdb.Block{{Height: 97, Hash: chain.Hash(97)}}, exit.OK},
		"replaced":                     {[]reorgdb.Block{{Height: 95, Hash: old}}, exit.OK},
		"at a counted height":          {[]reorgdb.Block{{Height: 3, Hash: chain.Hash(60)}}, exit.OK},
		"one of many":                  {[]reorgdb.Block{{Height: 50, Hash: chain.Hash(50)}, {Height: 99, Hash: other}, {Height: 100, Hash: other}}, exit.OK},
		"another chain":                {[]reorgdb.Block{{Height: 95, Hash: other}}, exit.Wrong},
		"another chain, above as well": {[]reorgdb.Block{{Height: 95, Hash: other}, {Height: 200, Hash: old}}, exit.Wrong},
		"above":                        {[]reorgdb.Block{{Height: 101, Hash: chain.Hash(5)}}, exit.Failed},
	} {
		path := filepath.Join(t.TempDir(), "db")
		db, err := reorgdb.Create(path)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(u *reorgdb.Update) error {
			for _, b := range test.blocks {
				u.SetBlock(b)
			}
			return nil
		}))
		err = reorgtool.SameChain(t.Context(), c, db, path)
		require.NoError(t, db.Close())
		if test.code == exit.OK {
			require.NoError(t, err, name)
			continue
		}
		var e *exit.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, test.code, e.Code, name)
	}
}
