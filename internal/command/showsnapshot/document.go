package showsnapshot

import (
	"math/big"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// The JSON documents, one per line.
type (
	// headDocument is the first line.
	headDocument struct {
		Snapshot snapshotDocument `json:"snapshot"`
	}

	snapshotDocument struct {
		File        string            `json:"file"`
		Index       int64             `json:"index,omitempty"`
		Offset      int64             `json:"offset"`
		Size        int64             `json:"size"`
		TimestampMs uint64            `json:"timestamp_ms"`
		Time        string            `json:"time,omitempty"`
		StateRoot   string            `json:"state_root,omitempty"`
		Verdict     snapshot.Verdict  `json:"verdict"`
		Records     map[string]uint64 `json:"records"`
		AnchorHash  string            `json:"anchor_hash,omitempty"`
		Findings    []findingDocument `json:"findings"`
	}

	findingDocument struct {
		Kind    snapshot.Kind `json:"kind"`
		Message string        `json:"message"`
	}

	// recordDocument has a record, in the form it has in a state in JSON, or the anchor.
	recordDocument struct {
		Section string `json:"section"`
		Record  any    `json:"record"`
	}

	totalsDocument struct {
		Totals map[string]any `json:"totals"` // by section
	}

	balanceTotals struct {
		Count uint64   `json:"count"`
		Sum   *big.Int `json:"sum"`
	}

	escrowTotals struct {
		Count       uint64   `json:"count"`
		LockedCount uint64   `json:"locked_count"`
		LockedSum   *big.Int `json:"locked_sum"`
	}

	pegInTotals struct {
		Count     uint64           `json:"count"`
		OpenCount uint64           `json:"open_count"`
		OpenSum   *big.Int         `json:"open_sum"`
		ByStatus  []statusDocument `json:"by_status"`
	}

	pegOutTotals struct {
		Count           uint64           `json:"count"`
		OpenCount       uint64           `json:"open_count"`
		OpenBurnedSum   *big.Int         `json:"open_burned_sum"`
		OpenReleasedSum *big.Int         `json:"open_released_sum"`
		ByStatus        []statusDocument `json:"by_status"`
	}

	statusDocument struct {
		Status      string   `json:"status"`
		Open        bool     `json:"open"`
		Count       uint64   `json:"count"`
		Sum         *big.Int `json:"sum,omitempty"` // of a peg-in
		BurnedSum   *big.Int `json:"burned_sum,omitempty"`
		ReleasedSum *big.Int `json:"released_sum,omitempty"`
	}

	taskTotals struct {
		Count uint64 `json:"count"`
	}

	endDocument struct {
		Count    uint64 `json:"count"`
		ExitCode int    `json:"exit_code"`
	}
)

// unknown is the verdict on a snapshot whose state root could not be computed.
const unknown snapshot.Verdict = "unknown"

func (s *showing) verdict() snapshot.Verdict {
	if s.unverified != nil {
		return unknown
	}
	return s.judged.Verdict
}

func (s *showing) document() headDocument {
	rep := s.judged.Report
	d := snapshotDocument{File: terminal.Text(s.File), Index: s.Index, Offset: rep.Offset, Size: rep.Size, TimestampMs: rep.TimestampMs,
		StateRoot: rep.Root, Verdict: s.verdict(), Records: map[string]uint64{}, Findings: []findingDocument{}}
	d.Time, _ = snapshottool.UTC(rep.TimestampMs)
	for _, section := range snapshot.Sections {
		d.Records[section.String()] = rep.Counts[section]
	}
	if rep.Anchor != nil {
		d.AnchorHash = terminal.Text(rep.Anchor.Hash)
	}
	for _, f := range s.findings() {
		d.Findings = append(d.Findings, findingDocument{f.Kind, f.String()})
	}
	return headDocument{d}
}
