package wallet

import (
	"errors"
	"strings"

	"github.com/btcsuite/btcd/btcjson"

	"ailee-recovery/internal/exit"
)

// explain adds a hint to an error from the node. The code decides, since the texts change
// between releases. They only refine the hint where one code has many reasons.
func explain(err error) error {
	var rpc *btcjson.RPCError
	if !errors.As(err, &rpc) {
		return err
	}
	if hint := hintOf(rpc.Code, strings.ToLower(rpc.Message)); hint != "" {
		return exit.Fail(hint, err)
	}
	return err // the client's own hint
}

const (
	sendCoins   = "send coins to the wallet, or wait until incoming ones are confirmed"
	noWallet    = "the node has no wallet: name a Bitcoin Core that has one with --bitcoin-rpc"
	keypool     = "the wallet has no address for change: unlock it, or fill its key pool with bitcoin-cli keypoolrefill"
	noKeys      = "use a wallet that has the private keys: --wallet NAME"
	otherWallet = "name the wallet that sent it: --wallet NAME"
	waitFor     = "wait until the wallet's transactions are confirmed; with several coins, it need not spend unconfirmed ones"
)

func hintOf(code btcjson.RPCErrorCode, words string) string {
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(words, part) {
				return true
			}
		}
		return false
	}
	switch code {
	case btcjson.ErrRPCWalletUnlockNeeded:
		return "unlock the wallet, then run the command again: bitcoin-cli -stdinwalletpassphrase walletpassphrase 600"
	case btcjson.ErrRPCWalletNotFound:
		return "load the wallet with bitcoin-cli loadwallet NAME, and name it with --wallet NAME"
	case btcjson.ErrRPCWalletNotSpecified:
		return "name one of them with --wallet NAME; list them with bitcoin-cli listwallets"
	case btcjson.ErrRPCWalletInsufficientFunds:
		return sendCoins
	case btcjson.ErrRPCWalletKeypoolRanOut:
		return keypool
	case btcjson.ErrRPCMethodNotFound.Code: // error -32601: the node does not know the method
		return noWallet
	case btcjson.ErrRPCTxError, btcjson.ErrRPCTxRejected:
		return rejectedHint(words)
	case btcjson.ErrRPCInvalidAddressOrKey:
		return otherWallet
	case btcjson.ErrRPCType, btcjson.ErrRPCDeserialization:
		return "the node expects different arguments: use Bitcoin Core 0.21 or later"
	case btcjson.ErrRPCWallet, btcjson.ErrRPCInvalidParameter, btcjson.ErrRPCMisc:
	default:
		return ""
	}
	switch {
	case has("unconfirmed utxos", "descendants", "chain of transactions", "mempool chain"):
		return waitFor
	case has("insufficient funds", "exceeds your balance", "not enough"):
		return sendCoins
	case has("too large", "maximum weight"):
		return "the wallet's coins are too small: first combine some of them in one transaction to the wallet itself"
	case has("keypool", "change address"):
		return keypool
	case has("rescan"):
		return "wait until the wallet has been rescanned; see its progress: bitcoin-cli getwalletinfo"
	case has("private keys", "available keys", "can't sign", "solving data"):
		return noKeys
	case has("belong to this wallet"):
		return otherWallet
	case has("bip 125"):
		return "wait until it is mined: it was made as one that cannot be replaced"
	case has("fee estimation", "fallbackfee"):
		return "set the fee rate: --fee-rate SAT_VB"
	case has("lower than the minimum", "insufficient total fee", "less than"):
		return "use a higher fee rate: --fee-rate SAT_VB"
	case has("maxtxfee", "fee exceeds maximum", "too high"):
		return "use a lower fee rate, --fee-rate SAT_VB, or raise the node's maxtxfee"
	case has("already spent", "already bumped", "has been mined", "conflicted"):
		return "see what became of the anchor's transaction: ailee_resync_blocks --anchors --db-path DB"
	case has("wallet commands"): // btcd
		return noWallet
	}
	switch code {
	case btcjson.ErrRPCWallet:
		return "see what the wallet can spend: bitcoin-cli getbalances, and bitcoin-cli listunspent"
	case btcjson.ErrRPCInvalidParameter:
		return "the node does not accept these fees: set others with --fee-rate SAT_VB, or --conf-target BLOCKS"
	}
	return "check the node's log" // error -1, or another wallet error whose text matches none of these
}

// rejectedHint returns the hint for a transaction that a mempool rejects.
func rejectedHint(words string) string {
	words = strings.ToLower(words)
	switch {
	case strings.Contains(words, "mempool full"):
		return "use a higher fee rate, --fee-rate SAT_VB, or wait until the node's mempool is no longer full"
	case strings.Contains(words, "fee"):
		return "use another fee rate: --fee-rate SAT_VB"
	case strings.Contains(words, "datacarrier"), strings.Contains(words, "scriptpubkey"):
		return "let the node accept OP_RETURN outputs (datacarrier=1), or name another node with --bitcoin-rpc"
	case strings.Contains(words, "cluster"), strings.Contains(words, "mempool-chain"):
		return waitFor
	}
	return "check the node's policy, and that no other transaction spends the same coins" // the mempool refuses the transaction for another reason
}
