package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// rowFormat formats a row of the list.
const rowFormat = "%-19s  %-9s  %7s  %-20s  %s\n"

// listed is a row of the list in JSON.
type listed struct {
	Name     string                  `json:"name"`
	Kind     backups.Kind            `json:"kind"`
	Made     time.Time               `json:"made"`
	Size     int64                   `json:"size"`
	Verdict  backups.State           `json:"verdict"` // "" if it was never read
	Why      string                  `json:"why,omitempty"`
	Verified *time.Time              `json:"verified,omitempty"`
	Line     uint64                  `json:"line,omitempty"`
	Held     bool                    `json:"held"`
	Future   bool                    `json:"future"` // dated in the future
	Copy     string                  `json:"copy,omitempty"`
	DataOf   string                  `json:"data_of,omitempty"`
	Content  *backups.SnapshotsEntry `json:"snapshots,omitempty"`
	Database *backups.DatabaseEntry  `json:"database,omitempty"`
}

type listDocument struct {
	BackupDir string   `json:"backup_dir"`
	Backups   []listed `json:"backups"`
	Gone      []string `json:"gone"`
	Unknown   []string `json:"unknown"`
	ExitCode  int      `json:"exit_code"`
}

// read reads the backup folder, and changes nothing.
func (r *run) read(ctx context.Context) (err error) {
	if r.dir, err = backups.ReadDir(ctx, r.BackupDir); errors.Is(err, fs.ErrNotExist) {
		return exit.Fail("name the backup folder with --backup-dir", err)
	} else if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	return nil
}

// list prints the backups, the newest first.
func (r *run) list(ctx context.Context) error {
	if err := r.read(ctx); err != nil {
		return err
	}
	var all []backups.Backup
	for _, kind := range []backups.Kind{backups.Database, backups.Snapshots} {
		if len(r.Kinds) == 2 || r.Kinds[0] == kind {
			all = append(all, r.dir.Of(kind)...)
		}
	}
	backups.SortForPeople(all, r.start)
	doc := listDocument{BackupDir: terminal.Text(r.BackupDir), Backups: []listed{}, Gone: []string{}, Unknown: []string{}}
	if len(all) > 0 {
		r.out.Printf(rowFormat, "MADE (UTC)", "KIND", "SIZE", "HOLDS", "VERDICT, READ")
	}
	var notes []string
	for _, b := range all {
		held := r.dir.Catalogue.Held(b.Kind)[b.Line] && b.Line > 0
		future := content.InDoubt(b.Made, r.start)
		r.out.Printf(rowFormat, b.Made.UTC().Format(time.DateTime), b.Kind, humanize.IBytes(uint64(b.Size)), holds(&b), r.verdict(&b, held))
		if future {
			notes = append(notes, b.Made.UTC().Format(time.DateTime)+" is dated in the future: kept, not counted.")
		}
		row := listed{Name: terminal.Text(b.Name), Kind: b.Kind, Made: b.Made, Size: b.Size, Verdict: b.Verified.Verdict, Why: terminal.Text(b.Verified.Why),
			Line: b.Line, Held: held, Future: future, Copy: b.Copy, DataOf: b.DataOf, Content: b.Snapshots, Database: b.Database}
		if !b.Verified.At.IsZero() {
			row.Verified = &b.Verified.At
		}
		doc.Backups = append(doc.Backups, row)
	}
	for _, b := range r.dir.Gone {
		notes = append(notes, terminal.Text(b.Name)+" is gone, but no run deleted it.")
		doc.Gone = append(doc.Gone, terminal.Text(b.Name))
	}
	for i, name := range r.dir.Unknown {
		switch {
		case i < maxUnknown:
			notes = append(notes, terminal.Text(name)+" is not a backup.")
		case i == maxUnknown:
			notes = append(notes, fmt.Sprintf("%d more files are not backups; --json lists them all.", len(r.dir.Unknown)-maxUnknown))
		}
		doc.Unknown = append(doc.Unknown, terminal.Text(name))
	}
	if r.dir.Rebuilt != "" {
		notes = append(notes, "There is no usable catalogue ("+terminal.Text(r.dir.Rebuilt)+"): the next run reads all backups.")
	}
	switch {
	case len(all) == 0:
		r.out.Printf("No backups in %s\n", terminal.Text(r.BackupDir))
	case len(notes) > 0:
		r.out.Printf("\n")
	}
	for _, note := range notes {
		r.out.Printf("%s\n", note)
	}
	if r.out.JSON() {
		r.out.Document(doc)
	}
	return nil
}

// maxUnknown is how many files that are not backups are named in the text output.
const maxUnknown = 20

// holds says what is in a backup, in 20 columns if possible.
func holds(b *backups.Backup) string {
	switch {
	case b.Snapshots != nil:
		return count(b.Snapshots.Complete, "snapshot")
	case b.Database != nil:
		return count(b.Database.AnchorCount(), "anchor") + ", " + count(b.Database.Events, "event")
	}
	return "?"
}

// verdict says what the last check of a backup found, and how long ago it was.
func (r *run) verdict(b *backups.Backup, held bool) string {
	if b.Verified.Verdict == "" {
		return "never read"
	}
	word := map[backups.State]string{backups.Sound: "sound", backups.Wrong: "WRONG", backups.CouldNot: "unread"}[b.Verified.Verdict]
	text := word + ", " + ago(r.start.Sub(b.Verified.At))
	if held {
		text += ", held"
	}
	return text
}

// ago formats a duration as people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// verifyDocument is the JSON result of verify.
type verifyDocument struct {
	BackupDir string              `json:"backup_dir"`
	Verified  []listed            `json:"verified"`
	Gone      []string            `json:"gone"`
	Errors    []cli.ErrorDocument `json:"errors"`
	ExitCode  int                 `json:"exit_code"`
}

// verify reads backups again, and records the result.
func (r *run) verify(ctx context.Context) error {
	err := r.takeFolder()
	if err == nil {
		err = r.read(ctx)
	}
	if err == nil {
		err = r.makeScratch()
	}
	if err != nil {
		return r.explain(err)
	}
	doc := verifyDocument{BackupDir: terminal.Text(durable.Shown(r.BackupDir)), Verified: []listed{}, Gone: []string{}}
	gone := map[string]bool{}
	for _, b := range r.dir.Gone {
		if r.asked(b.Name) {
			gone[b.Name] = true
			r.problem(nil, exit.Wrong, "look for it elsewhere; the next run of "+Name+" forgets it", "%s is gone, but no run deleted it", filepath.Join(r.BackupDir, b.Name))
			doc.Gone = append(doc.Gone, terminal.Text(b.Name))
		}
	}
	if err := r.dir.Reconcile(ctx, r.holding()); err != nil {
		return r.explain(err)
	}
	for _, name := range r.Names {
		if base := filepath.Base(name); r.dir.Catalogue.Find(base) == nil && !gone[base] {
			r.problem(nil, exit.Failed, r.command(Name, list), "%s is not a backup in %s", name, r.BackupDir)
		}
	}
	for i := range r.dir.Catalogue.Backups {
		b := &r.dir.Catalogue.Backups[i]
		if !r.asked(b.Name) {
			continue
		}
		if err := r.verifyOne(ctx, b); err != nil {
			return r.explain(err)
		}
		at := b.Verified.At
		doc.Verified = append(doc.Verified, listed{Name: terminal.Text(b.Name), Kind: b.Kind, Made: b.Made, Size: b.Size, Verdict: b.Verified.Verdict,
			Why: terminal.Text(b.Verified.Why), Verified: &at, Line: b.Line, Copy: b.Copy, DataOf: b.DataOf, Content: b.Snapshots, Database: b.Database})
	}
	if err := errors.Join(r.dir.Catalogue.Save(r.BackupDir), r.close()); err != nil {
		return r.explain(err)
	}
	if r.out.JSON() {
		doc.Errors, doc.ExitCode = r.errors, r.code
		if doc.Errors == nil {
			doc.Errors = []cli.ErrorDocument{}
		}
		r.out.Document(doc)
	}
	if r.code == exit.OK {
		return nil
	}
	return &exit.Error{Code: r.code}
}

// asked reports whether a backup is to be verified.
func (r *run) asked(name string) bool {
	parsed, _ := backups.ParseName(name)
	switch {
	case len(r.Kinds) == 1 && r.Kinds[0] != parsed.Kind:
		return false
	case r.All:
		return true
	case len(r.Names) > 0:
		for _, wanted := range r.Names {
			if filepath.Base(wanted) == name {
				return true
			}
		}
		return false
	}
	newest := r.dir.Catalogue.OfKind(parsed.Kind)
	return len(newest) > 0 && newest[0].Name == name
}

// verifyOne reads a complete backup, and compares it with what was backed up.
func (r *run) verifyOne(ctx context.Context, b *backups.Backup) error {
	path := filepath.Join(r.BackupDir, b.Name)
	bar := terminal.BytesBar(r.out.Err, !r.out.Quiet(), b.Name, b.Size)
	e, err := backups.Examine(ctx, path, b.Kind, backups.ExamineOptions{Now: r.start, Memory: r.memory, Scratch: r.scratch, Progress: bar.Add})
	bar.Done()
	if err != nil {
		return err
	}
	defer e.Close()
	b.Verify(e, r.start)
	switch b.Verified.Verdict {
	case backups.Sound:
		r.out.Printf("%s: sound, %s\n", terminal.Text(b.Name), holds(b))
	case backups.Wrong:
		r.problem(nil, exit.Wrong, "", "%s: %s", b.Name, b.Verified.Why)
	default:
		r.problem(nil, exit.Failed, durable.Hint(e.Err), "%s could not be read: %s", b.Name, b.Verified.Why)
	}
	return nil
}
