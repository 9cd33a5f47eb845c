package initreorgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// Run makes the database. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	// Root sees processes that the user of the folder does not.
	inUse := reorgdb.Holder(o.Path)
	folder := filepath.Dir(o.Path)
	if err := durable.BecomeUserOf(&folder, &o.CopyFrom); err != nil {
		return explain(o, err)
	}
	o.Path = filepath.Join(folder, filepath.Base(o.Path))
	pending, err := durable.CreateDir(o.Path)
	if errors.Is(err, fs.ErrExist) && o.CopyFrom == "" && rocksfile.Unfinished(o.Path) {
		return complete(ctx, o, out)
	}
	if errors.Is(err, fs.ErrExist) {
		return existing(ctx, o, inUse, out)
	}
	if err != nil {
		return explain(o, err)
	}
	defer pending.Abort()
	c := newCopying()
	if o.CopyFrom != "" {
		err = c.copyFrom(ctx, o.CopyFrom, pending, out)
	} else {
		err = create(pending.Path)
	}
	if err != nil {
		return explain(o, err)
	}
	if err := c.check(ctx, pending.Path); err != nil {
		return explain(o, err)
	}
	if err := give(o, pending, out); err != nil {
		return explain(o, err)
	}
	if err := ctx.Err(); err != nil {
		return explain(o, err)
	}
	if err := pending.Commit(); err != nil {
		return explain(o, err)
	}
	return c.report(o, out)
}

func create(path string) error {
	db, err := reorgdb.Create(path)
	if err != nil {
		return err
	}
	return db.Close()
}

// complete makes the database that a process was killed in the middle of making, in the
// folder that is there.
func complete(ctx context.Context, o Options, out *cli.IO) error {
	db, err := reorgtool.Open(ctx, &o.Path, out.Warn)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = newCopying().check(ctx, o.Path)
	}
	if err != nil {
		return reorgtool.Explain(o.Path, err)
	}
	return newCopying().report(o, out)
}

// give gives the database to whom it is for, where root makes it: whoever has the old
// one, or the folder that it replaces or is in.
func give(o Options, pending *durable.PendingDir, out *cli.IO) error {
	likeness := o.Path
	if o.CopyFrom != "" {
		likeness = o.CopyFrom
	}
	owner, err := durable.OwnerOf(likeness)
	if err != nil {
		return err
	}
	err = pending.Give(owner)
	if errors.Is(err, durable.ErrOwner) {
		out.Warn("%s: %s", o.Path, err)
		return nil
	}
	return err
}

// existing is the outcome when there is something at the path.
func existing(ctx context.Context, o Options, inUse error, out *cli.IO) error {
	if !o.IfMissing || rocksfile.Unfinished(o.Path) {
		if inUse != nil {
			return reorgtool.Explain(o.Path, inUse) // moving it away would not be safe
		}
		return exit.Failf("name another folder, or move it away first", "%s is not empty", o.Path)
	}
	db, err := reorgdb.OpenReadOnly(o.Path)
	if err == nil {
		err = errors.Join(db.Check(ctx), db.Close())
	}
	if err != nil {
		return reorgtool.Explain(o.Path, err)
	}
	if out.JSON() {
		out.Document(document{Path: terminal.Text(durable.Shown(o.Path)), Existing: true})
		return nil
	}
	out.Printf("Kept the database in %s\n", terminal.Text(durable.Shown(o.Path)))
	return nil
}

func explain(o Options, err error) error {
	var known *exit.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrExist):
		return exit.Failf("name another folder, or move it away first", "%s is not empty", o.Path)
	}
	return exit.Fail(durable.Hint(err), fmt.Errorf("%s: %w", o.Path, err))
}
