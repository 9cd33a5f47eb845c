package l2verify

import (
	"context"
	"io"
	"slices"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// snapshotDocument is the JSON form of one snapshot's verification.
type snapshotDocument struct {
	Index         int64             `json:"index,omitempty"`
	Offset        int64             `json:"offset"`
	Size          int64             `json:"size"`
	TimestampMs   uint64            `json:"timestamp_ms"`
	Time          string            `json:"time,omitempty"`
	StateRoot     string            `json:"state_root"`
	Verdict       snapshot.Verdict  `json:"verdict"`
	Passed        bool              `json:"passed"`
	Records       map[string]uint64 `json:"records"`
	Anchor        *anchorDocument   `json:"anchor"`
	PegOuts       []pegOutDocument  `json:"pegout_problems,omitempty"`
	PegOutsBeyond uint64            `json:"pegout_problems_not_listed,omitempty"`
	Findings      []findingDocument `json:"findings"`
}

type anchorDocument struct {
	StateRoot   string `json:"state_root"`
	TimestampMs uint64 `json:"timestamp_ms"`
	Metadata    string `json:"recovery_metadata"`
	Hash        string `json:"hash"`
	Holds       bool   `json:"holds"`
	Bound       bool   `json:"payload_bound"`
}

type pegOutDocument struct {
	PegID      string `json:"peg_id"`
	AnchorHash string `json:"anchor_hash"`
}

type findingDocument struct {
	Kind    snapshot.Kind `json:"kind"`
	Offset  int64         `json:"offset"`
	Length  int64         `json:"length,omitempty"`
	Count   uint64        `json:"count"`
	Section string        `json:"section,omitempty"`
	Message string        `json:"message"`
}

// verificationDocument is the result of verifying the latest snapshot.
type verificationDocument struct {
	File     string           `json:"file"`
	Snapshot snapshotDocument `json:"snapshot"`
	Bitcoin  *proofDocument   `json:"bitcoin,omitempty"`
	ExitCode int              `json:"exit_code"`
}

// maxPegOutsListed bounds a document; the other peg-outs are counted.
const maxPegOutsListed = 1000

func (v *verifier) document(ctx context.Context, r io.ReaderAt, judged snapshot.Judgement, found []snapshot.Finding) (verificationDocument, error) {
	doc := verificationDocument{File: terminal.Text(v.Snapshot), Snapshot: v.describe(judged, found)}
	if !doc.Snapshot.Passed {
		doc.ExitCode = 2
	}
	for p, err := range v.judge.Problems(ctx, r, judged) {
		switch {
		case err != nil:
			return doc, err
		case len(doc.Snapshot.PegOuts) == maxPegOutsListed:
			doc.Snapshot.PegOutsBeyond++
		default:
			doc.Snapshot.PegOuts = append(doc.Snapshot.PegOuts,
				pegOutDocument{PegID: terminal.Text(string(p.PegID)), AnchorHash: terminal.Text(string(p.AnchorHash))})
		}
	}
	return doc, nil
}

// describe returns the JSON form of a judgement, without the peg-outs. In addition to the
// findings that the options ask for, it has those that are only remarks.
func (v *verifier) describe(judged snapshot.Judgement, found []snapshot.Finding) snapshotDocument {
	doc := snapshotDocument{
		Index:       judged.Index,
		Offset:      judged.Offset,
		Size:        judged.Size,
		TimestampMs: judged.TimestampMs,
		StateRoot:   judged.Root,
		Verdict:     judged.Verdict,
		Passed:      v.passed(judged, found),
		Records:     map[string]uint64{},
		Findings:    findingDocuments(slices.Concat(found, remarks(judged.Findings))),
	}
	if t, ok := snapshottool.UTC(judged.TimestampMs); ok {
		doc.Time = t
	}
	for i, n := range judged.Counts {
		doc.Records[snapshot.Section(i).String()] = n
	}
	if a := judged.Anchor; a != nil {
		doc.Anchor = &anchorDocument{
			StateRoot:   terminal.Text(a.L2StateRoot),
			TimestampMs: a.TimestampMs,
			Metadata:    terminal.Text(a.RecoveryMetadata),
			Hash:        terminal.Text(a.Hash),
			Holds:       judged.Holding(),
			Bound:       a.Bound(),
		}
	}
	return doc
}

func findingDocuments(found []snapshot.Finding) []findingDocument {
	docs := []findingDocument{}
	for _, f := range found {
		docs = append(docs, findingDocument{
			Kind: f.Kind, Offset: f.Offset, Length: f.Length, Count: f.Count, Section: f.Section, Message: f.String()})
	}
	return docs
}

// passed reports whether the snapshot passes the checks that were requested.
func (v *verifier) passed(judged snapshot.Judgement, found []snapshot.Finding) bool {
	return judged.Verdict == snapshot.Valid && (!v.Strict || len(found) == 0)
}
