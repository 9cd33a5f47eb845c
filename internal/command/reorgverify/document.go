package reorgverify

import (
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
)

// document is the JSON result.
type document struct {
	DBPath   string                  `json:"db_path"`
	Anchors  anchorsDocument         `json:"anchors"`
	Blocks   blocksDocument          `json:"blocks"`
	Reorgs   []reorgDocument         `json:"recent_reorgs"` // the newest first
	NextID   uint64                  `json:"next_event_id"`
	Records  map[reorgdb.Kind]uint64 `json:"records"`
	Families map[string]uint64       `json:"column_families"`
	Chain    *chainDocument          `json:"chain,omitempty"` // nil unless a Bitcoin node was asked
	// Snapshots is nil unless a snapshot file was compared.
	Snapshots *snapshotsDocument `json:"snapshot_anchors,omitempty"`
	Findings  []finding          `json:"findings"`
	Counts    map[string]int     `json:"finding_counts"`
	ExitCode  int                `json:"exit_code"`
}

type anchorsDocument struct {
	Pending     uint64 `json:"pending"`
	Confirmed   uint64 `json:"confirmed"`
	Invalidated uint64 `json:"invalidated"`
	Failed      uint64 `json:"failed"`
	Orphaned    uint64 `json:"orphaned"` // among the pending
}

type blocksDocument struct {
	Count   uint64 `json:"count"`
	Lowest  uint64 `json:"lowest"`
	Highest uint64 `json:"highest"`
	Missing uint64 `json:"missing"` // heights without a hash between lowest and highest
}

type chainDocument struct {
	TipHeight        int64  `json:"tip_height"`
	BlocksCompared   uint64 `json:"blocks_compared"`
	BlocksDifferent  uint64 `json:"blocks_different"`
	AnchorsConfirmed int    `json:"anchors_confirmed"` // as recorded
	AnchorsProven    int    `json:"anchors_proven"`
}

type snapshotsDocument struct {
	Total       uint64 `json:"total"`
	Missing     uint64 `json:"missing"`
	Invalidated uint64 `json:"invalidated"`
	OtherRoot   uint64 `json:"other_root"`
	// First and Last are the first and the last anchor without a record.
	First *snapshotAnchorDocument `json:"first_missing,omitempty"`
	Last  *snapshotAnchorDocument `json:"last_missing,omitempty"`
}

type snapshotAnchorDocument struct {
	Snapshot int64  `json:"snapshot"` // its number, 1 for the oldest
	Hash     string `json:"hash"`
}

func (c *snapshotAnchors) document() *snapshotsDocument {
	d := &snapshotsDocument{Total: c.total, Missing: c.missing, Invalidated: c.invalid, OtherRoot: c.other}
	if c.missing > 0 {
		d.First = &snapshotAnchorDocument{c.first.snapshot, terminal.Text(c.first.hash)}
		d.Last = &snapshotAnchorDocument{c.last.snapshot, terminal.Text(c.last.hash)}
	}
	return d
}

type reorgDocument struct {
	ID           uint64   `json:"id"`
	Height       uint64   `json:"height"`
	OldBlockHash string   `json:"old_block_hash"`
	NewBlockHash string   `json:"new_block_hash"`
	DetectedAt   uint64   `json:"detected_at"` // Unix seconds
	Invalidated  []string `json:"invalidated_anchors"`
}

func (s *survey) document(o Options) document {
	d := document{
		DBPath: terminal.Text(o.DBPath),
		Anchors: anchorsDocument{
			Pending:     s.statuses[reorgdb.Pending],
			Confirmed:   s.statuses[reorgdb.Confirmed],
			Invalidated: s.statuses[reorgdb.InvalidatedReorg],
			Failed:      s.statuses[reorgdb.FailedOrphaned],
			Orphaned:    s.orphans,
		},
		Blocks:   blocksDocument{Count: s.kinds[reorgdb.BlockKind], Lowest: s.lowest, Highest: s.highest, Missing: s.gaps},
		Reorgs:   []reorgDocument{},
		NextID:   s.counter,
		Records:  map[reorgdb.Kind]uint64{},
		Families: map[string]uint64{},
		Findings: append([]finding{}, s.found...),
		Counts:   s.counts,
	}
	for _, kind := range reorgdb.Kinds {
		d.Records[kind] = s.kinds[kind]
	}
	for family, n := range s.families {
		d.Families[terminal.Text(family)] = n
	}
	for i := range s.recent {
		e := s.recent[len(s.recent)-1-i]
		r := reorgDocument{ID: e.ID, Height: e.Height, OldBlockHash: terminal.Text(e.OldBlockHash),
			NewBlockHash: terminal.Text(e.NewBlockHash), DetectedAt: e.DetectedAt, Invalidated: []string{}}
		for _, hash := range e.InvalidatedAnchors {
			r.Invalidated = append(r.Invalidated, terminal.Text(hash))
		}
		d.Reorgs = append(d.Reorgs, r)
	}
	if c := s.chain; c != nil {
		d.Chain = &chainDocument{c.tip, c.compared, c.different, c.confirmed, c.proven}
	}
	if s.snapshots != nil {
		d.Snapshots = s.snapshots.document()
	}
	if s.problems > 0 {
		d.ExitCode = exit.Wrong
	}
	return d
}
