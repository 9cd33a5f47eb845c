package datadir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Code says what a fact is about. Codes are stable: they are labels of metrics, keys of
// documents and anchors in the runbook.
type Code string

// The codes, in the order of facts in a view. The evidence of each is a pointer to the type in
// parentheses, which is also a field of the view.
const (
	DataDir       Code = "data-dir"       // is it a folder? ([Place])
	DataOwner     Code = "data-owner"     // can the node's user read and write all of it? ([Owners])
	DataMount     Code = "data-mount"     // read-only, immutable; remarks: append-only, a separate mount ([Mounts])
	DataSpace     Code = "data-space"     // free bytes and inodes against what will be needed ([Space])
	DataHolders   Code = "data-holders"   // which processes have which part open ([Holders])
	DataLeftovers Code = "data-leftovers" // what killed runs of the toolkit left ([Leftovers])
	DataCopies    Code = "data-copies"    // earlier states that are kept next to the data ([Copies])
	DataBroadcast Code = "data-broadcast" // a broadcast that is not finished ([Broadcast])
	DataClock     Code = "data-clock"     // the clock against the times of the data ([Clock])

	SnapshotsForm    Code = "snapshots-form"    // what is at the path of the file ([SnapshotForm])
	SnapshotsLatest  Code = "snapshots-latest"  // the snapshot that a node loads ([Latest])
	SnapshotsAll     Code = "snapshots-all"     // every complete snapshot ([AllSnapshots])
	SnapshotsTail    Code = "snapshots-tail"    // what follows the last one ([Tail])
	SnapshotsHidden  Code = "snapshots-hidden"  // sound ones that no node sees ([Hidden])
	SnapshotsPegOuts Code = "snapshots-pegouts" // where the anchors that peg-outs name are ([PegOuts])
	SnapshotsNames   Code = "snapshots-names"   // other names of the same file ([Names])

	DBForm    Code = "db-form"    // what is at the path of the database ([DatabaseForm])
	DBDamage  Code = "db-damage"  // every block of every file ([Damage])
	DBRecords Code = "db-records" // every record ([Records])
	DBHeights Code = "db-heights" // heights that are a count of blocks ([Heights]); needs Bitcoin

	AgreeLatest Code = "agree-latest" // the record of the latest anchor ([Agreement])
	AgreeAll    Code = "agree-all"    // the records of all anchors ([Agreement])

	BackupsFolder Code = "backups-folder" // folder and catalogue ([BackupFolder])
	BackupsNewest Code = "backups-newest" // the newest of each kind, read in this run ([NewestBackups])
	BackupsOlder  Code = "backups-older"  // verdicts of the others ([OlderBackups])
	BackupsCover  Code = "backups-cover"  // what sources have and the live parts lack ([Cover])
	BackupsNames  Code = "backups-names"  // dates in the future, shared data ([BackupNames])

	BitcoinNode    Code = "bitcoin-node"    // network, sync, tip ([BitcoinState])
	BitcoinBlocks  Code = "bitcoin-blocks"  // stored hashes against the chain ([Chain])
	BitcoinAnchors Code = "bitcoin-anchors" // confirmed anchors proven ([Proofs])
)

// State is the state of a fact.
type State int

// The states. CouldNot is never a verdict, and never a reason to repair.
const (
	Sound State = iota
	CouldNot
	Wrong
)

// String returns the state as it is in documents.
func (s State) String() string { return [...]string{"sound", "could-not", "wrong"}[s] }

// MarshalText returns its string, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Fact is the result of one check. Its texts are printable, whatever files or Bitcoin contain.
type Fact struct {
	Code  Code
	State State
	// Text says in one line what was found.
	Text string
	// Remark is what an operator should know about a sound fact, "" for nothing. It is printed
	// in the line of the fact and does not change the exit status.
	Remark string
	// Err is why it could not be checked; nil otherwise.
	Err error
	// Evidence is a pointer to the type that is named at the code, nil if nothing was found.
	Evidence any
	At       time.Time     // when it was checked, UTC
	Cost     time.Duration // how long that took
}

// MarshalJSON returns the form in documents: code, state, text, remark, evidence, at, cost_ms.
func (f Fact) MarshalJSON() ([]byte, error) {
	d := struct {
		Code     Code   `json:"code"`
		State    State  `json:"state"`
		Text     string `json:"text"`
		Remark   string `json:"remark,omitempty"`
		Evidence any    `json:"evidence,omitempty"`
		At       string `json:"at"`
		CostMs   int64  `json:"cost_ms"`
	}{f.Code, f.State, f.Text, f.Remark, f.Evidence, f.At.UTC().Format(time.RFC3339), f.Cost.Milliseconds()}
	text, err := json.Marshal(d)
	return escaped(text), err
}

// escaped returns JSON that cannot act on a terminal: unprintable characters, such as in file
// names, become escapes, which a JSON reader undoes.
func escaped(text []byte) []byte {
	if !bytes.ContainsFunc(text, unprintable) {
		return text
	}
	var b []byte
	for _, r := range string(text) {
		if !unprintable(r) {
			b = utf8.AppendRune(b, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
	}
	return b
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
