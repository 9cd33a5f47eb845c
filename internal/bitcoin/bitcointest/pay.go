package bitcointest

import (
	"bytes"
	"encoding/hex"
	"sync"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"
)

// Maturity is the number of blocks after which the coins of a block can be spent.
const Maturity = 100

// fee is the fee of a transaction, in satoshi.
const fee = 10_000

// miner owns the coins of every block. The key, and what follows from it, is computed only when
// needed: that takes 30 ms, and a test binary is started again as each tool that it runs.
var miner = sync.OnceValue(func() *btcec.PrivateKey {
	key, _ := btcec.PrivKeyFromBytes(bytes.Repeat([]byte{1}, 32))
	return key
})

// miningAddress is the address that the coins go to.
var miningAddress = sync.OnceValue(func() address.Address {
	hash := address.Hash160(miner().PubKey().SerializeCompressed())
	a, err := address.NewAddressPubKeyHash(hash, &chaincfg.RegressionNetParams)
	if err != nil {
		panic(err)
	}
	return a
})

// Transaction spends the coins of the block at a height. It has an output without
// value with the script, and one with the rest.
func (n *Node) Transaction(height int64, script []byte) *wire.MsgTx {
	n.tb.Helper()
	block, err := n.rpc.GetBlock(n.parse(n.Hash(height)))
	require.NoError(n.tb, err)
	coinbase := block.Transactions[0]
	id := coinbase.TxHash()
	coins := coinbase.TxOut[0]
	tx := wire.NewMsgTx(wire.TxVersion)
	tx.AddTxIn(wire.NewTxIn(wire.NewOutPoint(&id, 0), nil, nil))
	tx.AddTxOut(wire.NewTxOut(0, script))
	tx.AddTxOut(wire.NewTxOut(coins.Value-fee, coins.PkScript))
	tx.TxIn[0].SignatureScript, err = txscript.SignatureScript(tx, 0, coins.PkScript, txscript.SigHashAll, miner(), true)
	require.NoError(n.tb, err)
	return tx
}

// Send sends a transaction and returns its id.
func (n *Node) Send(tx *wire.MsgTx) string {
	n.tb.Helper()
	id, err := n.rpc.SendRawTransaction(tx, true)
	require.NoError(n.tb, err)
	return id.String()
}

// Hex returns a transaction in hex, as it is sent.
func Hex(tx *wire.MsgTx) string {
	var b bytes.Buffer
	if err := tx.Serialize(&b); err != nil {
		panic(err)
	}
	return hex.EncodeToString(b.Bytes())
}
