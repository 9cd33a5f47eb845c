package reorgverify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// Run checks the database. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	var node *bitcoin.Client
	if o.Bitcoin != nil {
		var err error
		if node, err = bitcoin.Open(*o.Bitcoin, out.Warn); err != nil {
			return err
		}
	}
	s, err := examine(ctx, o, node, out)
	if reorgtool.LookAgain(o.DBPath, err) {
		s, err = examine(ctx, o, node, out)
	}
	if err != nil {
		return reorgtool.Explain(o.DBPath, err)
	}
	if out.JSON() {
		out.Document(s.document(o))
	} else {
		s.print(out, o.DBPath)
	}
	if s.problems == 0 {
		return nil
	}
	return exit.WrongData(s.hint(o), nil)
}

// hint names the command to run next.
func (s *survey) hint(o Options) string {
	switch {
	case s.counts[damage] > 0: // the database is damaged
		return reorgtool.CopyHint(o.DBPath)
	case s.counts[endsNode] > 0: // a reorg event crashes the node that reads it
		return "leave the node stopped: it would crash at each block that it makes, when it reads its reorg events; restore a backup from before that event: " +
			"ailee-restore --db-only --db-backup FILE"
	case s.counts[countedHeights] > 0: // block hashes are stored at heights that are not theirs
		return reorgtool.RepairHint(o.DBPath)
	case s.counts[missingAnchor]+s.counts[invalidated] > 0: // an anchor of the snapshot file has no record, or an invalidated one
		args := []string{"ailee_create_anchor", "--broadcast", "--db-path", o.DBPath, "--l2-state-file", o.Snapshot}
		if filepath.Base(o.Snapshot) == snapshot.FileName {
			// --data-dir appends to a file of this name only. In any other file, the new
			// anchor would not be the latest one of o.Snapshot.
			args = append(args, "--data-dir", filepath.Dir(o.Snapshot))
		}
		return "with the node stopped, anchor the state on Bitcoin again: " + exit.Command(args...)
	case s.chain != nil && s.chain.different > 0 && s.chain.different == s.chain.compared: // no stored block hash is the chain's
		return "no block hash agrees: check that --bitcoin-rpc is a node on the network of the AILEE node"
	case s.counts[wrongHash] > 0: // a stored block hash is not the chain's
		return "stop the node and replace what differs: " +
			exit.Command("ailee_resync_blocks", "--start-height", fmt.Sprint(s.chain.lowestDifferent), "--db-path", o.DBPath)
	case s.counts[notCommitted] > 0: // a transaction does not carry the anchor that its record names
		return "the record names the wrong transaction; show the record: " + exit.Command("ailee_reorg_show", "--db-path", o.DBPath, "anchors")
	case s.counts[notAnchored]+s.counts[wrongHeight] > 0: // a record and the chain disagree about a transaction
		return "bring the records in line with the chain: " + exit.Command("ailee_resync_blocks", "--anchors", "--db-path", o.DBPath)
	}
	return "a node skips what it cannot read; compare with the chain: " + // a record cannot be decoded
		exit.Command("ailee_resync_blocks", "--check", "--db-path", o.DBPath)
}

// examine opens the database once, reads everything in it, and compares it with the chain
// if node is not nil.
func examine(ctx context.Context, o Options, node *bitcoin.Client, out *cli.IO) (s *survey, err error) {
	problems, err := reorgtool.DamageWithTables(ctx, o.DBPath)
	if err != nil {
		return nil, err
	}
	db, err := reorgdb.OpenReadOnly(o.DBPath)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s = newSurvey(o.Recent, uint64(time.Now().UnixMilli()))
	for _, p := range problems {
		if p.Kind == rocksfile.BeingMade {
			s.add(beingMade, false, "%s: %s", o.DBPath, p)
			continue
		}
		s.add(damage, p.Lost || p.Stale, "%s: %s", o.DBPath, p)
	}
	if err := s.read(ctx, db); err != nil {
		return nil, err
	}
	if node != nil {
		if err := s.compareChain(ctx, o, node, db); err != nil {
			return nil, err
		}
	}
	if o.Snapshot == "" {
		return s, nil
	}
	bar := func(size int64) terminal.Bar { return terminal.BytesBar(out.Err, !out.Quiet(), "comparing", size) }
	if err := s.crossCheck(ctx, o, db, bar); err != nil && !errors.Is(err, reorgdb.ErrCorrupt) && !errors.As(err, new(*exit.Error)) {
		return nil, exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", o.Snapshot, err))
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

// statuses are the statuses in the order in which they are printed, with the names that the
// recovery guide uses.
var statuses = []struct {
	status reorgdb.AnchorStatus
	name   string
}{
	{reorgdb.Pending, "Pending"},
	{reorgdb.Confirmed, "Confirmed"},
	{reorgdb.InvalidatedReorg, "Invalidated"},
	{reorgdb.FailedOrphaned, "Failed"},
}

func (s *survey) print(out *cli.IO, dbPath string) {
	for i := range s.recent {
		e := s.recent[len(s.recent)-1-i]
		out.Printf("Reorg at height %d: %s replaced by %s, %d anchor(s) invalidated, %s\n", e.Height,
			terminal.Text(e.OldBlockHash), terminal.Text(e.NewBlockHash), len(e.InvalidatedAnchors), seconds(e.DetectedAt))
	}
	for _, status := range statuses {
		out.Printf("%s: %d\n", status.name, s.statuses[status.status])
	}
	out.Printf("Orphaned: %d\n", s.orphans)
	switch n := s.kinds[reorgdb.BlockKind]; {
	case n == 0:
		out.Printf("Blocks: 0\n")
	case s.gaps == 0:
		out.Printf("Blocks: %d, heights %d to %d without a gap\n", n, s.lowest, s.highest)
	default:
		out.Printf("Blocks: %d, heights %d to %d, %d missing\n", n, s.lowest, s.highest, s.gaps)
	}
	out.Printf("Reorg events: %d, next id %d\n", s.kinds[reorgdb.EventKind], s.counter)
	if n := s.kinds[reorgdb.OtherKind]; n > 0 {
		out.Printf("Other records: %d\n", n)
	}
	for _, family := range slices.Sorted(maps.Keys(s.families)) {
		out.Printf("Column family %s: %d record(s)\n", terminal.Text(family), s.families[family])
	}
	if c := s.chain; c != nil {
		out.Printf("Chain: tip at height %d, %d block hash(es) compared, %d differ\n", c.tip, c.compared, c.different)
		out.Printf("Confirmed anchors proven on chain: %d of %d\n", c.proven, c.confirmed)
	}
	if c := s.snapshots; c != nil {
		out.Printf("Anchors of the snapshot file: %d, %d with a record\n", c.total, c.total-c.missing)
	}
	for _, f := range s.found {
		if f.Wrong {
			out.Error("%s", f.Message)
		} else {
			out.Warn("%s", f.Message)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(s.counts)) {
		if n := s.counts[kind]; n > maxListed {
			out.Warn("%d more findings of kind %s", n-maxListed, kind)
		}
	}
	if s.counts[gap] > 0 { // heights have no block hash
		out.Hint("fill the gaps: %s", exit.Command("ailee_resync_blocks", "--start-height", fmt.Sprint(s.lowest), "--db-path", dbPath))
	}
	if s.counts[notRecorded] > 0 { // an older anchor of the snapshot file has no record
		out.Hint("an anchor that was never broadcast has no record; if the database was recreated, the old one or a backup of it has the other records")
	}
	if s.problems == 0 {
		out.Printf("Verification OK.\n")
	}
}

// seconds formats a time in Unix seconds.
func seconds(s uint64) string {
	if text, ok := reorgtool.UTC(s); ok {
		return text
	}
	return fmt.Sprintf("at %d", s)
}
