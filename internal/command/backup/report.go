package backup

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"path/filepath"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

func newSum() hash.Hash { return sha256.New() }

// document is the JSON result.
type document struct {
	DataDir   string              `json:"data_dir"`
	BackupDir string              `json:"backup_dir"`
	DryRun    bool                `json:"dry_run"`
	Snapshots *snapshotsResult    `json:"snapshots"`
	Database  *databaseResult     `json:"database"`
	Losses    []lossResult        `json:"losses"`
	Deleted   []string            `json:"deleted"`
	Errors    []cli.ErrorDocument `json:"errors"`
	ExitCode  int                 `json:"exit_code"`
}

// result has the fields that the backups of both kinds have.
type result struct {
	File    string   `json:"file"`
	Size    *int64   `json:"size"` // snapshots: of the unpacked snapshot file; database: of the archive, null in a dry run
	Copy    string   `json:"copy,omitempty"`
	DataOf  string   `json:"data_of,omitempty"`
	Seconds *float64 `json:"seconds,omitempty"`
}

type snapshotsResult struct {
	result
	TimestampMs uint64 `json:"timestamp_ms"`
	Snapshots   int64  `json:"snapshots"`
}

type databaseResult struct {
	result
	Blocks  int64            `json:"blocks"`
	Anchors map[string]int64 `json:"anchors"`
	Events  int64            `json:"events"`
}

type lossResult struct {
	Kind    backups.Kind `json:"kind"`
	Seen    string       `json:"seen"`
	Line    uint64       `json:"line"`
	Missing string       `json:"missing"`
}

// report prints the result.
func (r *run) report() error {
	if r.out.JSON() {
		r.out.Document(r.document())
	} else if terminal.Is(r.out.Out) && !r.DryRun {
		r.print()
	}
	for _, text := range r.accepted {
		r.out.Printf("%s\n", text)
	}
	if r.code == exit.OK {
		return nil
	}
	return &exit.Error{Code: r.code}
}

func (r *run) document() document {
	d := document{DataDir: terminal.Text(durable.Shown(r.DataDir)), BackupDir: terminal.Text(durable.Shown(r.BackupDir)), DryRun: r.DryRun,
		Losses: []lossResult{}, Deleted: []string{}, Errors: r.errors, ExitCode: r.code}
	if d.Errors == nil {
		d.Errors = []cli.ErrorDocument{}
	}
	for _, path := range r.deleted {
		d.Deleted = append(d.Deleted, terminal.Text(durable.Shown(path)))
	}
	for _, kind := range r.Kinds {
		p := r.parts[kind]
		if p.backup != nil {
			r.describe(&d, p)
		}
		for _, l := range r.dir.Catalogue.OpenLosses(kind) {
			missing := l.Missing.String()
			if l.CouldNot != "" {
				missing = "could not be compared: " + l.CouldNot
			}
			d.Losses = append(d.Losses, lossResult{Kind: kind, Seen: l.Seen.Format(time.RFC3339), Line: l.Line, Missing: terminal.Text(missing)})
		}
	}
	return d
}

func (r *run) describe(d *document, p *part) {
	b := p.backup
	made := result{File: terminal.Text(durable.Shown(filepath.Join(r.BackupDir, b.Name))), Copy: b.Copy, DataOf: b.DataOf}
	if !r.DryRun {
		seconds := float64(p.took.Milliseconds()) / 1000
		made.Seconds = &seconds
		made.Size = &b.Size
	}
	switch {
	case b.Snapshots != nil:
		made.Size = &b.ContentSize
		d.Snapshots = &snapshotsResult{result: made, Snapshots: b.Snapshots.Complete}
		if n := b.Snapshots.Newest; n != nil {
			d.Snapshots.TimestampMs = uint64(n.TimestampMs)
		}
	case b.Database != nil:
		d.Database = &databaseResult{result: made, Blocks: b.Database.Blocks, Anchors: b.Database.Anchors, Events: b.Database.Events}
	}
}

// print prints on a terminal what was done.
func (r *run) print() {
	any := false
	for _, kind := range r.Kinds {
		p := r.parts[kind]
		b := p.backup
		if b == nil {
			continue
		}
		any = true
		seconds := p.took.Seconds()
		switch {
		case p.linked:
			r.out.Printf("Backed up %s: unchanged since %s, linked, %.1f s\n", kind.Source(), r.clock(p.since), seconds)
		case b.Snapshots != nil:
			r.out.Printf("Backed up %s: %s, %d bytes, read back, %.1f s\n", kind.Source(), count(b.Snapshots.Complete, "snapshot"), b.ContentSize, seconds)
		default:
			r.out.Printf("Backed up %s: %s, %s, %s, read back, %.1f s\n", kind.Source(), count(b.Database.Blocks, "block"),
				count(b.Database.AnchorCount(), "anchor"), count(b.Database.Events, "event"), seconds)
		}
	}
	if !any || r.code != exit.OK {
		return
	}
	var kept, deleted []string
	for _, kind := range r.Kinds {
		kept = append(kept, fmt.Sprint(len(r.dir.Catalogue.OfKind(kind))))
		deleted = append(deleted, fmt.Sprint(r.parts[kind].deleted))
	}
	r.out.Printf("Kept %s in %s, deleted %s\n", joined(kept), terminal.Text(durable.Shown(r.BackupDir)), joined(deleted))
}

func joined(numbers []string) string {
	if len(numbers) == 1 {
		return numbers[0]
	}
	return numbers[0] + " and " + numbers[1]
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clock formats a time, with the date unless it is today.
func (r *run) clock(at time.Time) string {
	if at.UTC().Format(time.DateOnly) == r.start.Format(time.DateOnly) {
		return at.UTC().Format("15:04:05 UTC")
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}
