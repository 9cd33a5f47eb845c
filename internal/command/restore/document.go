package restore

import (
	"strings"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
)

// document is the JSON result.
type document struct {
	DataDir   string              `json:"data_dir"`
	DryRun    bool                `json:"dry_run"`
	Completed bool                `json:"completed"` // completed what an earlier run left
	Parts     []partDocument      `json:"parts"`
	Restored  []restoredDocument  `json:"restored"`
	SetAside  []asideDocument     `json:"set_aside"`
	Next      string              `json:"next,omitempty"` // command line
	Errors    []cli.ErrorDocument `json:"errors"`
	ExitCode  int                 `json:"exit_code"`
}

type partDocument struct {
	Part     backups.Kind     `json:"part"`
	Path     string           `json:"path"`
	Live     state            `json:"live"` // could-not if it could not be checked
	Decision decision         `json:"decision"`
	Source   string           `json:"source,omitempty"`
	Skipped  []passedDocument `json:"skipped,omitempty"`
	Future   []string         `json:"dated_in_the_future,omitempty"`
	Holds    *amount          `json:"holds,omitempty"`
	Has      *amount          `json:"has,omitempty"`   // that the source lacks
	Lacks    *amount          `json:"lacks,omitempty"` // that the source has
	Pruned   int64            `json:"pruned,omitempty"`
	Parting  int64            `json:"parting,omitempty"`
	Offers   *amount          `json:"source_holds,omitempty"`
}

type passedDocument struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

type restoredDocument struct {
	Restored string `json:"restored"`
	From     string `json:"from"`
	Kept     string `json:"kept"`
}

type asideDocument struct {
	From string `json:"from"`
	To   string `json:"to"` // "" in a dry run
}

// unread stands for a live part that could not be checked.
const unread state = "could-not"

func (r *restoring) document(code int, err error) document {
	d := document{DataDir: shownText(r.DataDir), DryRun: r.DryRun, Completed: r.completed != nil, Parts: []partDocument{},
		Restored: []restoredDocument{}, SetAside: []asideDocument{}, Errors: []cli.ErrorDocument{}, ExitCode: code}
	if err == nil {
		d.Next = terminal.Text(r.next())
	}
	for _, t := range r.parts {
		if t.decision != "" {
			d.Parts = append(d.Parts, r.partDocument(t))
		}
		if t.decision == replaced && len(r.refusals) == 0 && (r.DryRun || t.exchanged) {
			kept := ""
			if t.inode != 0 {
				kept = shownText(t.keptPath(r.stamp))
			}
			d.Restored = append(d.Restored, restoredDocument{shownText(t.path), terminal.Text(r.sourcePath(t)), kept})
		}
	}
	if r.completed != nil && len(r.refusals) == 0 {
		for i := range r.completed.Moves {
			m := &r.completed.Moves[i]
			kept := ""
			if m.Live != 0 {
				kept = shownText(m.path(m.kept))
			}
			d.Restored = append(d.Restored, restoredDocument{shownText(m.path(m.Name)), terminal.Text(m.From), kept})
		}
	}
	for _, a := range r.aside {
		d.SetAside = append(d.SetAside, asideDocument{shownText(a.from), shownText(a.to)})
	}
	for _, p := range append(r.remarks, r.refusals...) {
		d.Errors = append(d.Errors, cli.NewErrorDocument(p.err.Error(), strings.Join(p.hints, "; ")))
	}
	d.Errors = append(d.Errors, cli.ErrorDocuments(err)...)
	return d
}

func shownText(path string) string {
	if path == "" {
		return ""
	}
	return terminal.Text(durable.Shown(path))
}

func (r *restoring) partDocument(t *target) partDocument {
	d := partDocument{Part: t.kind, Path: shownText(t.path), Live: t.state, Decision: t.decision, Pruned: t.difference.explained, Parting: t.difference.parting}
	if t.unread != nil {
		d.Live = unread
	}
	if t.snapshots != nil || t.database != nil {
		live := holds(t.kind, t.snapshots, t.database)
		d.Holds = &live
	}
	for _, p := range t.passed {
		d.Skipped = append(d.Skipped, passedDocument{shownText(p.Path), terminal.Text(p.Why)})
	}
	for _, name := range t.future {
		d.Future = append(d.Future, terminal.Text(name))
	}
	if t.source == nil {
		return d
	}
	d.Source = terminal.Text(r.sourcePath(t))
	offers := holds(t.kind, t.source.Snapshots, t.source.Database)
	d.Offers = &offers
	if t.compared {
		d.Has, d.Lacks = &t.difference.has, &t.difference.lacks
	}
	return d
}
