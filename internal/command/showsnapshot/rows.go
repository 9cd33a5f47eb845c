package showsnapshot

import (
	"context"
	"fmt"
	"strconv"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// formats are the formats of the tables' rows: numbers first, since ids may have any length.
var formats = [...]string{
	snapshot.Balances: "%20s  %s\n",
	snapshot.Escrows:  "%20s  %-6s  %20s  %-40s  %s\n",
	snapshot.PegIns:   "%20s  %-18s  %20s  %20s  %20s  %-64s  %-64s  %10s  %-44s  %s\n",
	snapshot.PegOuts:  "%20s  %20s  %-18s  %20s  %20s  %-64s  %-44s  %-44s  %s\n",
	snapshot.Tasks:    "%11s  %11s  %-24s  %-40s  %-52s  %-64s  %s\n",
}

var headings = [...][]any{
	snapshot.Balances: {"BALANCE", "PEER"},
	snapshot.Escrows:  {"AMOUNT", "LOCKED", "CREATED", "TASK", "CLIENT"},
	snapshot.PegIns:   {"AMOUNT", "STATUS", "CONFIRMATIONS", "INITIATED", "COMPLETED", "PEG-IN", "TRANSACTION", "OUTPUT", "SOURCE", "DESTINATION"},
	snapshot.PegOuts:  {"BURNED", "RELEASED", "STATUS", "INITIATED", "COMPLETED", "PEG-OUT", "SOURCE", "DESTINATION", "ANCHOR HASH"},
	snapshot.Tasks:    {"TYPE", "PRIORITY", "SUBMITTED", "TASK", "SUBMITTER", "PAYLOAD HASH", "ANCHOR HASH"},
}

// cells returns a record's columns.
func cells(record any) []any {
	switch v := record.(type) {
	case snapshot.Balance:
		return []any{number(v.Balance), cell(v.PeerID)}
	case snapshot.Escrow:
		locked := "no"
		if v.Locked {
			locked = "yes"
		}
		return []any{number(v.Amount), locked, number(v.CreatedAt), cell(v.TaskID), cell(v.ClientPeerID)}
	case snapshot.PegIn:
		return []any{number(v.BtcAmount), snapshot.PegStatus(v.Status), number(v.Confirmations), number(v.InitiatedTime), number(v.CompletedTime),
			cell(v.PegID), cell(v.BtcTxID), number(uint64(v.Vout)), cell(v.BtcSource), cell(v.AileeDest)}
	case snapshot.PegOut:
		return []any{number(v.AileeBurnAmount), number(v.BtcReleaseAmount), snapshot.PegStatus(v.Status), number(v.InitiatedTime), number(v.CompletedTime),
			cell(v.PegID), cell(v.AileeSource), cell(v.BtcDest), cell(v.AnchorCommitmentHash)}
	case snapshot.Task:
		return []any{strconv.Itoa(int(v.TaskType)), strconv.Itoa(int(v.Priority)), snapshottool.Time(v.SubmittedAtMs),
			cell(v.TaskID), cell(v.SubmitterID), cell(v.PayloadHash), cell(v.AnchorCommitmentHash)}
	}
	return nil
}

// records prints the records that were asked for, each section under its heading.
func (s *showing) records(ctx context.Context) error {
	for _, section := range s.Sections {
		first := true
		for rec, err := range s.each(ctx, section) {
			if err != nil {
				return err
			}
			if first && len(s.Sections) > 1 {
				s.out.Printf("%s\n", section)
			}
			if first {
				s.out.Printf(formats[section], headings[section]...)
			}
			first = false
			s.count++
			if err := s.row(section, rec.Value()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *showing) row(section snapshot.Section, record any) error {
	if s.out.JSON() {
		return s.out.Line(recordDocument{section.String(), snapshottool.Printable(record)})
	}
	s.out.Printf(formats[section], cells(record)...)
	return s.out.OutErr()
}

// anchor prints the anchor, field by field.
func (s *showing) anchor() error {
	a := s.judged.Anchor
	if a == nil {
		return nil
	}
	s.count++
	if s.out.JSON() {
		return s.out.Line(recordDocument{anchorSection, snapshottool.Printable(*a)})
	}
	s.out.Printf(`Anchor hash:    %s
State root:     %s
Time:           %s (%d ms)
Metadata:       %s
Payload:        %s
`, cell(a.Hash), cell(a.L2StateRoot), snapshottool.Time(a.TimestampMs), a.TimestampMs, cell(a.RecoveryMetadata), cell(a.Payload))
	return s.out.OutErr()
}

// overview prints a summary of the snapshot.
func (s *showing) overview() {
	rep := s.judged.Report
	which, root, anchor := "the latest", rep.Root, "none"
	if s.Index > 0 {
		which = fmt.Sprintf("number %d", s.Index)
	}
	if s.unverified != nil {
		root = "not known"
	}
	if rep.Anchor != nil {
		anchor = cell(rep.Anchor.Hash)
	}
	s.out.Printf(`Snapshot:       %s, at byte %d, %s
Time:           %s
State root:     %s
Verdict:        %s
Anchor hash:    %s
`, which, rep.Offset, terminal.Size(rep.Size), snapshottool.Time(rep.TimestampMs), root, s.verdict(), anchor)
	for _, section := range snapshot.Sections {
		s.out.Printf("%-14s  %d\n", titles[section]+":", rep.Counts[section])
	}
}

// titles are the sections' names at the start of a line.
var titles = [...]string{snapshot.Balances: "Balances", snapshot.Escrows: "Escrows", snapshot.PegIns: "Peg-ins", snapshot.PegOuts: "Peg-outs", snapshot.Tasks: "Tasks"}

// cell returns a text for a table, - for an empty one, so that columns can be counted.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return terminal.Text(text)
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }
