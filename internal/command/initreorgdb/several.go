package initreorgdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/reorgmerge"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/rocksfile"
	"ailee-recovery/reorgdb"
)

// part is one of several sources.
type part struct {
	*source
	db       *reorgdb.DB // the source, or a copy of what can be read from it
	problems []rocksfile.Problem
	share    *reorgmerge.Share
}

// merging is a database that is being filled from several sources.
type merging struct {
	*copying // the new database
	parts    []*part
	merge    *reorgmerge.Merge
	differences
}

func newMerging(c *copying, sources []*source) *merging {
	m := &merging{copying: c}
	for _, s := range sources {
		m.parts = append(m.parts, &part{source: s})
	}
	return m
}

// run fills the new database and checks it.
func (m *merging) run(ctx context.Context, o Options, to *durable.PendingDir, scratch *durable.Scratch, out *cli.IO) (err error) {
	var sources []reorgmerge.Source
	for i, p := range m.parts {
		if err := p.open(ctx, filepath.Join(scratch.Path, fmt.Sprintf("%d.reorg_db", i)), out); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.db.Close()) }()
		sources = append(sources, p.db)
	}
	unnamed := func() (*os.File, error) { return durable.Unnamed(o.Path) }
	if m.merge, err = reorgmerge.New(ctx, sources, unnamed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.merge.Close()) }()
	m.differences = differences{parts: m.parts, all: out.JSON(), newFile: unnamed}
	defer func() {
		if err != nil {
			_ = m.differences.close()
		}
	}()
	m.merge.Differ = m.differences.add
	for k, p := range m.parts {
		p.share = &m.merge.Shares[k]
	}
	err = m.fill(to.Path, m.merge.Families(), func(to target) error {
		for _, family := range m.merge.Families() {
			if err := to.load(family, m.counted(family, m.merge.Records(ctx, family))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.check(ctx, to.Path)
}

// open opens a source. If it is damaged, what can be read is copied to path first, and the
// copy is opened.
func (p *part) open(ctx context.Context, path string, out *cli.IO) (err error) {
	defer func() { p.problems = append(p.damage, p.problems...) }()
	if p.problems, err = reorgtool.DamageWithTables(ctx, p.folder); err != nil {
		return p.explain(err)
	}
	if !reorgtool.Lossy(p.problems) {
		err := p.openWhole(ctx)
		switch {
		case errors.Is(err, reorgdb.ErrUnsupported):
			return p.explain(err)
		case !errors.Is(err, reorgdb.ErrCorrupt):
			return p.named(err)
		}
		out.Warn("%s", p.named(err))
	}
	c := newCopying(false)
	if err := c.salvage(ctx, p.source, path, func(target) error { return nil }); err != nil {
		return err
	}
	p.problems = c.problems
	p.db, err = reorgdb.OpenReadOnly(path)
	return err
}

// openWhole opens a source that RocksDB can read to its end. The error wraps
// [reorgdb.ErrCorrupt] when RocksDB finds damage.
func (p *part) openWhole(ctx context.Context) error {
	db, err := reorgdb.OpenReadOnly(p.folder)
	if err != nil {
		return err
	}
	if err := db.Check(ctx); err != nil {
		return errors.Join(err, db.Close())
	}
	p.db = db
	return nil
}

// lossy reports whether records of the source are lost or could be, or may have come back.
func (p *part) lossy() bool { return reorgtool.Lossy(p.problems) }

// entries returns how many records of the source are known to be lost. exact reports
// whether those are all: the damage is only in blocks of records, of tables that say how
// many they had.
func (p *part) entries() (n uint64, exact bool) {
	counted := map[string]bool{}
	for _, problem := range p.problems {
		n += uint64(problem.Entries)
		counted[problem.File] = counted[problem.File] || problem.Entries > 0
	}
	for _, problem := range p.problems {
		if (problem.Lost || problem.Stale) && !(problem.Kind == rocksfile.DamagedTable && counted[problem.File]) {
			return n, false
		}
	}
	return n, true
}

// madeGood reports whether the other sources are certain to have all records that this one
// lost: exactly as many heights are missing between its blocks as it has lost records, and
// others have a block for each. Only blocks can be certain: of a record that changes, such
// as an anchor, the others may have an older state.
func (p *part) madeGood() bool {
	n, exact := p.entries()
	return exact && p.share.Gaps == n && p.share.Filled == n
}

// lostFor counts the lost records of the source that no other source is known to have:
// blocks at heights between its own, and records of other kinds. Blocks that others have
// below and above its own may have been pruned from it. They count as the lost ones only
// when the numbers are equal.
func (p *part) lostFor() (blocks, others uint64) {
	n, _ := p.entries()
	blocks = min(n, p.share.Gaps-p.share.Filled)
	found := p.share.Filled + p.share.Lacked + blocks
	if n <= found || n == found+p.share.Outside() {
		return blocks, 0
	}
	return blocks, n - found
}
