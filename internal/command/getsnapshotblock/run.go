package getsnapshotblock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// Run prints the block. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) (err error) {
	f := &finder{Options: o, out: out}
	if o.Bitcoin != nil {
		if f.node, err = bitcoin.Open(*o.Bitcoin, out.Warn); err != nil {
			return err
		}
	}
	if f.snapshot, err = latest(ctx, o, out); err != nil {
		if errors.As(err, new(*exit.Error)) {
			return err
		}
		return exit.Fail(readHint(o, err), err)
	}
	defer func() { err = errors.Join(err, f.close()) }()
	found, err := f.find(ctx)
	if err != nil {
		return err
	}
	if found.Hash == "" && (f.node != nil || out.JSON()) {
		found.Hash = f.storedHash(found.Height)
	}
	var compared *comparison
	if f.node != nil {
		compared, err = f.compare(ctx, found)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	verdict := f.judge(found, compared, err)
	if out.JSON() {
		out.Document(f.document(found, compared, verdict, err))
	} else {
		// This is printed with --quiet too, since scripts need it.
		out.Raw(fmt.Sprintf("%d\n", found.Height))
	}
	return verdict
}

// latest reads the snapshot that a node would load.
func latest(ctx context.Context, o Options, out *cli.IO) (*snapshot.Report, error) {
	in, err := input.Open(ctx, o.File, out.In)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	found, err := snapshottool.FindLatest(in, in)
	err = snapshottool.Reader{Command: []string{Name, "-"}}.Unless(err, in)
	var report *snapshot.Report
	if err == nil {
		report, err = snapshot.NewChecker(o.Memory()).Check(ctx, found.Reader, found.Located)
	}
	if err != nil && !errors.As(err, new(*exit.Error)) {
		err = fmt.Errorf("%s: %w", o.File, err)
	}
	return report, err
}

// readHint says what to do about a file whose latest snapshot cannot be read.
func readHint(o Options, err error) string {
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "name the snapshot file in it: " + exit.Command(Name, filepath.Join(o.File, snapshot.FileName))
	case errors.Is(err, snapshot.ErrNoSnapshot):
		return "see what can be recovered: " + exit.Command("ailee_recover_snapshots", "--dry-run", o.File, "OUT") + "; if nothing can, " + snapshottool.RestoreHint(o.File)
	}
	return snapshottool.ReadHint(err)
}

// block is a Bitcoin block as a source knows it.
type block struct {
	Source string
	Height int64
	Hash   string // as it was stored, "" if it was not
}

// estimated reports whether the height was not stored, but follows from the snapshot's time.
func (b block) estimated() bool { return b.Source == bitcoinNode }

// at describes the height.
func (b block) at() string {
	if b.estimated() {
		return fmt.Sprintf("an estimated height of %d", b.Height)
	}
	return fmt.Sprintf("height %d", b.Height)
}

// The sources, in the order in which they are asked.
const (
	anchorMetadata = "anchor metadata"
	reorgDatabase  = "reorg database"
	bitcoinNode    = "bitcoin"
)

// notKnown says why a source has no answer although nothing is wrong with it.
type notKnown string

func (e notKnown) Error() string { return string(e) }

// silent is a source without an answer.
type silent struct {
	source string
	err    error
}

type finder struct {
	Options
	out      *cli.IO
	snapshot *snapshot.Report
	node     *bitcoin.Client // nil: not asked

	db     *reorgdb.DB // nil until it is opened
	dbErr  error       // from opening it
	info   *bitcoin.ChainInfo
	silent []silent
}

func (f *finder) close() error {
	if f.db == nil {
		return nil
	}
	return f.db.Close()
}

// find asks the sources in order. The errors of sources without an answer are warnings
// if a later source has one, and together the error if none has.
func (f *finder) find(ctx context.Context) (block, error) {
	for _, s := range []struct {
		name string
		ask  func(context.Context) (block, error)
	}{{anchorMetadata, f.fromMetadata}, {reorgDatabase, f.fromDatabase}, {bitcoinNode, f.fromTime}} {
		found, err := s.ask(ctx)
		if err == nil {
			found.Source = s.name
			f.warnOfSilent()
			if found.estimated() {
				f.out.Warn("the height is estimated from the time of the snapshot: neither its anchor nor the reorg database has it")
			}
			return found, nil
		}
		if ctx.Err() != nil {
			return block{}, ctx.Err()
		}
		f.silent = append(f.silent, silent{s.name, err})
	}
	return block{}, f.nothingKnown()
}

func (f *finder) warnOfSilent() {
	for _, s := range f.silent {
		if !errors.As(s.err, new(notKnown)) {
			f.out.Warn("%s: %v", s.source, s.err)
		}
	}
}

func (f *finder) nothingKnown() error {
	var why []string
	for _, s := range f.silent {
		why = append(why, s.source+": "+s.err.Error())
	}
	hint := "ask a Bitcoin node: " + exit.Command(Name, "--bitcoin-rpc", bitcoin.DefaultURL, f.File)
	if f.node != nil {
		hint = cmp.Or(hintOf(f.silent[len(f.silent)-1].err), "check the snapshot: "+exit.Command("ailee_l2_verify", "--snapshot", f.File))
	}
	return exit.Failf(hint, "%s: no source knows the block of the latest snapshot: %s", f.File, strings.Join(why, "; "))
}

// hintOf returns the hint of an error, "" if it has none.
func hintOf(err error) string {
	var e *exit.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
