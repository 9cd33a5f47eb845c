package faults

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/command/createanchor"
	"ailee-recovery/reorgdb"
)

// payments are what runs pay through a Bitcoin node that keeps running whatever happens to them, as on
// a separate machine.
type payments struct {
	node   *bitcointest.Node
	wallet *bitcointest.Wallet
	others map[string]bool // transactions of other runs
}

// payable returns how many transactions can be made. One block is mined for each beforehand, and none
// later, so that all anchors name the same tip.
func payable() uint32 {
	if *all {
		return 900
	}
	return 150
}

func newPayments(t *testing.T) *payments {
	n := bitcointest.StartNode(t, false)
	n.Generate(bitcointest.Maturity + payable())
	return &payments{node: n, wallet: bitcointest.NewWallet(t, n, "")}
}

// own returns the transactions of this run, and of the one that completes it.
func (p *payments) own() []string {
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(p.node.Waiting(), func(txid string) bool { return p.others[txid] })
}

// begin assigns all existing transactions to other runs, except for the given ones.
func (p *payments) begin(own ...string) {
	if p == nil {
		return
	}
	p.others = map[string]bool{}
	for _, txid := range p.node.Waiting() {
		p.others[txid] = !slices.Contains(own, txid)
	}
}

var recordedIn = regexp.MustCompile(`anchor:\w+ \w+\|(\w+)\|`)

// account returns what was paid, and whether the records of a database name it, without the ids, which
// differ from run to run.
func (p *payments) account(records string) string {
	txids := p.own()
	var recorded []string
	for _, record := range recordedIn.FindAllStringSubmatch(records, -1) {
		// After a power cut before sending, the record may name a transaction that, in this test,
		// was sent all the same.
		if recorded = append(recorded, record[1]); p.others[record[1]] {
			txids = append(txids, record[1])
		}
	}
	switch {
	case len(txids) == 0:
		return "nothing is paid"
	case len(txids) == 1 && slices.Equal(txids, recorded):
		return "one transaction is paid, and recorded"
	}
	return fmt.Sprintf("paid are %q, recorded %q", txids, recorded)
}

// txidAndTime matches what differs between the records of two anchors of one state.
var txidAndTime = regexp.MustCompile(`(anchor:\w+ \w+)\|\w+\|(\d+\|\d+)\|\d+\|`)

// broadcasting is the scenario that anchors a state in a Bitcoin transaction.
func broadcasting() *scenario {
	const file, db = "l2_snapshots.dat", "reorg_db"
	s := &scenario{
		name:     "broadcast an anchor",
		long:     true,
		leftover: append([]string{"." + db + ".anchor-pending"}, temporary...),
		resumed:  []string{"." + db + ".anchor-pending"},
		plain: func(path, content string) string {
			if filepath.Base(path) != db {
				return content
			}
			return txidAndTime.ReplaceAllString(content, "$1|TXID|$2|TIME|")
		},
		between: appended,
		always:  "fdatasync",
	}
	s.prepare = func(t *testing.T, root string) {
		snapshots(t, in(root, file), 2)
		stateFile(t, in(root, "state.json"))
		created, err := reorgdb.Create(in(root, db))
		require.NoError(t, err)
		require.NoError(t, created.Close())
		s.payments = newPayments(t)
	}
	s.command = func(root string, run int) []string {
		return []string{bin(createanchor.Name), "--data-dir", in(root), "--l2-state-file", in(root, "state.json"), "--timestamp-ms", "1739577600000",
			"--broadcast", "--yes", "--fee-rate", "10", "--bitcoin-rpc", s.payments.wallet.LoginURL(), "--rpc-wait", "0s"}
	}
	return s
}
