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
	folder, sources := filepath.Dir(o.Path), make([]*string, len(o.CopyFrom))
	for i := range o.CopyFrom {
		sources[i] = &o.CopyFrom[i]
	}
	if err := durable.BecomeUserOf(&folder, sources...); err != nil {
		return explain(o, err)
	}
	o.Path = filepath.Join(folder, filepath.Base(o.Path))
	pending, err := durable.CreateDir(o.Path)
	if errors.Is(err, fs.ErrExist) && len(o.CopyFrom) == 0 && rocksfile.Unfinished(o.Path) {
		return complete(ctx, o, out)
	}
	if errors.Is(err, fs.ErrExist) {
		return existing(ctx, o, inUse, out)
	}
	if err != nil {
		return explain(o, err)
	}
	defer pending.Abort()
	report, err := fill(ctx, o, pending, out)
	if err != nil {
		return explain(o, err)
	}
	if !o.DryRun {
		if err := put(ctx, o, pending, out); err != nil {
			return explain(o, err)
		}
	}
	return report()
}

// fill makes the database, checks it, and returns the function that reports it. In a dry
// run it makes none.
func fill(ctx context.Context, o Options, pending *durable.PendingDir, out *cli.IO) (report func() error, err error) {
	c := newCopying(o.DryRun)
	if len(o.CopyFrom) == 0 {
		if !o.DryRun {
			err = create(pending.Path)
		}
		if err == nil {
			err = c.check(ctx, pending.Path)
		}
		return func() error { return c.report(o, nil, out) }, err
	}
	var scratch *durable.Scratch
	if len(o.CopyFrom) > 1 || isFile(o.CopyFrom[0]) {
		if scratch, err = durable.NewScratchBeside(o.Path); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, scratch.Remove()) }()
	}
	sources, err := openSources(ctx, o, scratch)
	if err != nil {
		return nil, err
	}
	if len(sources) > 1 {
		m := newMerging(c, sources)
		return func() error { return m.report(o, out) }, m.run(ctx, o, pending, scratch, out)
	}
	if err := c.copyFrom(ctx, sources[0], pending, out); err != nil {
		return nil, err
	}
	return func() error { return c.report(o, sources[0], out) }, c.check(ctx, pending.Path)
}

// put moves the finished database to its final path.
func put(ctx context.Context, o Options, pending *durable.PendingDir, out *cli.IO) error {
	if err := give(o, pending, out); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return pending.Commit()
}

func create(path string) error {
	db, err := reorgdb.Create(path)
	if err != nil {
		return err
	}
	return db.Close()
}

// complete finishes, in place, a database that a process was killed while making.
func complete(ctx context.Context, o Options, out *cli.IO) error {
	c := newCopying(o.DryRun)
	if o.DryRun {
		if err := reorgdb.Holder(o.Path); err != nil {
			return reorgtool.Explain(o.Path, err)
		}
		return c.report(o, nil, out)
	}
	db, err := reorgtool.Open(ctx, &o.Path, out.Warn)
	if err == nil {
		err = db.Close()
	}
	if err == nil {
		err = c.check(ctx, o.Path)
	}
	if err != nil {
		return reorgtool.Explain(o.Path, err)
	}
	return c.report(o, nil, out)
}

// give sets the owner of a database that root makes: the owner of the first source, or
// without one, of the folder that the database replaces or is in.
func give(o Options, pending *durable.PendingDir, out *cli.IO) error {
	likeness := o.Path
	if len(o.CopyFrom) > 0 {
		likeness = o.CopyFrom[0]
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

// existing is the outcome when there already is something at the path.
func existing(ctx context.Context, o Options, inUse error, out *cli.IO) error {
	if !o.IfMissing || rocksfile.Unfinished(o.Path) {
		if inUse != nil {
			return reorgtool.Explain(o.Path, inUse) // it must not be moved away while in use
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
