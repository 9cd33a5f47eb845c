package wallet

import (
	"errors"
	"strings"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/exit"
)

// explain adds a hint to what the node refuses. Its texts change between releases:
// they decide only where one code stands for many reasons.
func explain(err error) error {
	var rpc *btcjson.RPCError
	if !errors.As(err, &rpc) {
		return err
	}
	words := strings.ToLower(rpc.Message)
	hint := ""
	switch {
	case rpc.Code == btcjson.ErrRPCWalletUnlockNeeded:
		hint = "unlock the wallet with bitcoin-cli walletpassphrase and run the command again"
	case rpc.Code == btcjson.ErrRPCWalletNotFound:
		hint = "load the wallet with bitcoin-cli loadwallet NAME, and name it with --wallet NAME"
	case rpc.Code == btcjson.ErrRPCWalletNotSpecified:
		hint = "name one of them with --wallet NAME: bitcoin-cli listwallets shows them"
	case rpc.Code == btcjson.ErrRPCWalletInsufficientFunds, strings.Contains(words, "insufficient funds"):
		hint = "send coins to the wallet, or wait until those on their way are confirmed"
	case rpc.Code == btcjson.ErrRPCWalletKeypoolRanOut, strings.Contains(words, "keypool"), strings.Contains(words, "change address"):
		hint = "the wallet has no address for the change: unlock it, or fill its key pool with bitcoin-cli keypoolrefill"
	case strings.Contains(words, "fee estimation"), strings.Contains(words, "fallbackfee"):
		hint = "give the fee rate: --fee-rate SAT_VB"
	case rpc.Code == btcjson.ErrRPCMethodNotFound.Code, rpc.Code == btcjson.ErrRPCNoWallet:
		hint = "the node has no wallet: name a Bitcoin Core with one in --bitcoin-rpc"
	case rpc.Code == btcjson.ErrRPCTxError, rpc.Code == btcjson.ErrRPCTxRejected:
		hint = rejectedHint(words)
	}
	return exit.Fail(hint, err)
}

// rejectedHint is for a transaction that a mempool refuses.
func rejectedHint(words string) string {
	if strings.Contains(strings.ToLower(words), "fee") {
		return "take another fee rate: --fee-rate SAT_VB"
	}
	return "see what the node's policy asks for, and that no other transaction spends the same coins"
}
