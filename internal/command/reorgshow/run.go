package reorgshow

import (
	"context"
	"errors"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Run prints what was asked for. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	out.Buffer()
	l := &listing{Options: o, out: out}
	err := l.look(ctx)
	if reorgtool.LookAgain(o.DBPath, err) {
		// Silent, so that nothing is printed twice.
		second := &listing{Options: o, out: out, silent: true}
		if secondErr := second.look(ctx); !errors.Is(secondErr, reorgdb.ErrCorrupt) {
			err = exit.Failf("run the command again, or stop the node first", "%s: the node changed the database while it was being read", o.DBPath)
		}
	}
	if err != nil {
		return reorgtool.Explain(o.DBPath, err)
	}
	return l.end()
}

// listing prints records, one per row.
type listing struct {
	Options
	out    *cli.IO
	silent bool // read only, and print nothing
	count  uint64
	failed uint64 // records that no node can read
	lossy  bool   // records may be missing
}

// look opens the database and lists what was asked for.
func (l *listing) look(ctx context.Context) (err error) {
	problems, err := reorgtool.Damage(ctx, l.DBPath)
	if err != nil {
		return err
	}
	db, err := reorgdb.OpenReadOnly(l.DBPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l.sayProblems(problems)
	switch l.What {
	case Anchors:
		return l.anchors(ctx, db)
	case Anchor:
		return l.anchor(db)
	case Events:
		return l.events(ctx, db)
	case Blocks:
		return l.blocks(ctx, db)
	}
	return l.families(ctx, db)
}

// sayProblems reports the problems that RocksDB silently ignores: records may be missing.
func (l *listing) sayProblems(problems []rocksfile.Problem) {
	l.lossy = reorgtool.Lossy(problems)
	for _, p := range problems {
		switch {
		case l.silent:
		case p.Lost || p.Stale:
			l.out.Error("%s: %s", l.DBPath, p)
			if l.out.JSON() {
				_ = l.out.Line(damageDocument{text(p.String())})
			}
		default:
			l.out.Warn("%s: %s", l.DBPath, p)
		}
	}
}

// row prints a row: a JSON document, or a line of a table. The first line gets the heading.
func (l *listing) row(doc any, heading, format string, cells ...any) error {
	l.count++
	switch {
	case l.silent:
		return nil
	case l.out.JSON():
		return l.out.Line(doc)
	case l.count == 1 && heading != "":
		l.out.Printf("%s", heading)
	}
	l.out.Printf(format, cells...)
	return l.out.OutErr()
}

// unreadable reports a record that no node can read.
func (l *listing) unreadable(key []byte, err error) error {
	l.failed++
	if l.silent {
		return nil
	}
	l.out.Error("record %q: %v", key, err)
	if l.out.JSON() {
		return l.out.Line(unreadableDocument{Key: text(string(key)), Unreadable: text(err.Error())})
	}
	return nil
}

// end ends the output and returns the error that carries the exit code.
func (l *listing) end() error {
	d := endDocument{Count: l.count, Unreadable: l.failed}
	var err error
	switch {
	case l.lossy: // part of the database cannot be read
		err = exit.WrongData(reorgtool.CopyHint(l.DBPath), nil)
	case l.failed > 0: // a record cannot be decoded
		err = exit.WrongData("see everything that is wrong with the database: "+exit.Command("ailee_reorg_verify", "--db-path", l.DBPath), nil)
	case l.count == 0 && l.What == Blocks:
		return exit.Failf("see which heights there are: "+exit.Command("ailee_reorg_verify", "--recent", "0", "--db-path", l.DBPath),
			"%s: no block hash at %s", l.DBPath, reorgtool.Heights(l.From, l.To))
	}
	if l.out.JSON() {
		d.ExitCode = exit.Code(err)
		l.out.Document(d)
	} else if l.count == 0 && l.failed == 0 {
		l.out.Hint("there is nothing to show") // the list is empty
	}
	return err
}
