package reorgshow

import (
	"fmt"
	"strconv"
	"strings"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/reorgdb"
)

// The JSON documents, one per line.
type (
	anchorDocument struct {
		Hash          string `json:"anchor_hash"`
		BitcoinTxID   string `json:"bitcoin_txid"`
		BitcoinHeight uint64 `json:"bitcoin_height"`
		Confirmations uint64 `json:"confirmations"`
		BroadcastTime uint64 `json:"broadcast_time"` // Unix milliseconds
		RetryCount    uint32 `json:"retry_count"`
		Status        string `json:"status"`
		StatusNumber  int32  `json:"status_number"`
		L2StateRoot   string `json:"l2_state_root"`
		Orphaned      bool   `json:"orphaned"`
		AfterRoot     string `json:"after_root,omitempty"`
		Key           string `json:"key,omitempty"` // where it does not match the hash
	}

	eventDocument struct {
		ID           uint64   `json:"id"`
		Height       uint64   `json:"height"`
		OldBlockHash string   `json:"old_block_hash"`
		NewBlockHash string   `json:"new_block_hash"`
		DetectedAt   uint64   `json:"detected_at"` // Unix seconds
		Invalidated  []string `json:"invalidated_anchors"`
		Missing      uint64   `json:"missing_anchors,omitempty"` // announced, but not listed
		Key          string   `json:"key,omitempty"`             // where it is not as nodes write it
	}

	blockDocument struct {
		Height uint64 `json:"height"`
		Hash   string `json:"block_hash"`
	}

	familyDocument struct {
		Name    string `json:"family"`
		Records uint64 `json:"records"`
	}

	unreadableDocument struct {
		Key        string `json:"key"`
		Unreadable string `json:"unreadable"` // why
	}

	damageDocument struct {
		Damage string `json:"damage"`
	}

	endDocument struct {
		Count      uint64 `json:"count"`
		Unreadable uint64 `json:"unreadable_count"`
		ExitCode   int    `json:"exit_code"`
	}
)

func (l *listing) anchorDocument(key string, a reorgdb.Anchor) anchorDocument {
	d := anchorDocument{Hash: text(a.Hash), BitcoinTxID: text(a.BitcoinTxID), BitcoinHeight: a.BitcoinHeight, Confirmations: a.Confirmations,
		BroadcastTime: a.BroadcastTime, RetryCount: a.RetryCount, Status: a.Status.String(), StatusNumber: int32(a.Status), L2StateRoot: text(a.L2StateRoot),
		Orphaned: l.orphaned(a), AfterRoot: text(a.AfterRoot())}
	if key != string(reorgdb.AnchorKey(a.Hash)) {
		d.Key = text(key)
	}
	return d
}

func newEventDocument(key string, e reorgdb.ReorgEvent) eventDocument {
	d := eventDocument{ID: e.ID, Height: e.Height, OldBlockHash: text(e.OldBlockHash), NewBlockHash: text(e.NewBlockHash), DetectedAt: e.DetectedAt,
		Invalidated: []string{}, Missing: e.Missing}
	for _, hash := range e.InvalidatedAnchors {
		d.Invalidated = append(d.Invalidated, text(hash))
	}
	if key != string(reorgdb.EventKey(e.ID)) {
		d.Key = text(key)
	}
	return d
}

// maxNamed bounds how many anchors a cell lists: a deep reorg invalidates thousands.
const maxNamed = 3

// anchors returns the cell with the invalidated anchors: their number, and the first few.
func (d eventDocument) anchors() string {
	cell := number(uint64(len(d.Invalidated)))
	if len(d.Invalidated) > 0 {
		cell += ": " + strings.Join(d.Invalidated[:min(len(d.Invalidated), maxNamed)], " ")
	}
	if more := len(d.Invalidated) - maxNamed; more > 0 {
		cell += fmt.Sprintf(" and %d more", more)
	}
	if d.Missing > 0 {
		cell += fmt.Sprintf(", %d more announced", d.Missing)
	}
	return cell
}

// cell returns a text for a table, "-" in place of an empty one, so that scripts can count
// columns.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// text makes a text from the database printable.
func text(s string) string { return terminal.Text(s) }

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func heading(format string, names ...any) string { return fmt.Sprintf(format, names...) }
