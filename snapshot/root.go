package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// Root returns the state root: the SHA-256 of the state's canonical text in lower-case
// hex, with each section sorted by its first field as a node sorts it. It does not
// change st.
func Root(st *State) string {
	h := sha256.New()
	text := []byte(rootPreamble)
	var rec record
	for _, s := range Sections {
		records := st.records(s)
		nodeSort(records, func(a, b stateRecord) bool { return a.key() < b.key() })
		text = appendHeading(text, s, uint64(len(records)))
		for _, sr := range records {
			sr.fill(&rec)
			text = rec.appendCanonical(text)
			if len(text) >= textBlock {
				h.Write(text)
				text = text[:0]
			}
		}
	}
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// stateRecord is a record of any section of a state.
type stateRecord interface {
	key() string
	fill(*record)
}

// set fills the record with the fields of one of section s.
func (r *record) set(s Section, strs []string, numbers ...uint64) {
	r.section, r.text = s, r.text[:0]
	for i, str := range strs {
		r.text = append(r.text, str...)
		r.ends[i] = len(r.text)
	}
	r.strings = len(strs)
	r.nums = copy(r.numbers[:], numbers)
}

func i32(v int32) uint64 { return uint64(int64(v)) }

func (b *Balance) key() string    { return b.PeerID }
func (b *Balance) fill(r *record) { r.set(Balances, []string{b.PeerID}, b.Balance) }

func (e *Escrow) key() string { return e.TaskID }
func (e *Escrow) fill(r *record) {
	var locked uint64
	if e.Locked {
		locked = 1
	}
	r.set(Escrows, []string{e.TaskID, e.ClientPeerID}, e.Amount, locked, e.CreatedAt)
}

func (p *PegIn) key() string { return p.PegID }
func (p *PegIn) fill(r *record) {
	r.set(PegIns, []string{p.PegID, p.BtcTxID, p.BtcSource, p.AileeDest},
		uint64(p.Vout), p.BtcAmount, i32(p.Status), p.Confirmations, p.InitiatedTime, p.CompletedTime)
}

func (p *PegOut) key() string { return p.PegID }
func (p *PegOut) fill(r *record) {
	r.set(PegOuts, []string{p.PegID, p.AileeSource, p.BtcDest, p.AnchorCommitmentHash},
		p.AileeBurnAmount, p.BtcReleaseAmount, i32(p.Status), p.InitiatedTime, p.CompletedTime)
}

func (t *Task) key() string { return t.TaskID }
func (t *Task) fill(r *record) {
	r.set(Tasks, []string{t.TaskID, t.SubmitterID, t.PayloadHash, t.AnchorCommitmentHash},
		i32(t.TaskType), i32(t.Priority), t.SubmittedAtMs)
}

// records returns the records of one section.
func (st *State) records(s Section) []stateRecord {
	switch s {
	case Balances:
		return asRecords[Balance](st.Ledger.Balances)
	case Escrows:
		return asRecords[Escrow](st.Ledger.Escrows)
	case PegIns:
		return asRecords[PegIn](st.Bridge.PegIns)
	case PegOuts:
		return asRecords[PegOut](st.Bridge.PegOuts)
	default:
		return asRecords[Task](st.Orchestration.Tasks)
	}
}

func asRecords[T any, P interface {
	*T
	stateRecord
}](records []T) []stateRecord {
	out := make([]stateRecord, len(records))
	for i := range records {
		out[i] = P(&records[i])
	}
	return out
}

// hasNewline reports whether any string of the record contains a newline.
func (r *record) hasNewline() bool { return bytes.IndexByte(r.text, '\n') >= 0 }
