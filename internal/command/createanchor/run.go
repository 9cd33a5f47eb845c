package createanchor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/lease"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// Run anchors. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	if o.Bump != "" {
		return bump(ctx, o, out)
	}
	a := &anchoring{Options: o, out: out, openNode: nodeOf(o, out)}
	err := a.load(ctx)
	if a.source.in != nil {
		defer a.source.in.Close()
	}
	if err != nil {
		return a.explainInput(err)
	}
	if err := a.warn(ctx); err != nil {
		return a.explainInput(err)
	}
	if err := a.becomeUser(); err != nil {
		return err
	}
	if a.Broadcast {
		err = a.broadcast(ctx)
	} else if err = a.newAnchor(ctx); err == nil {
		err = a.write(ctx)
	}
	if err != nil {
		return err
	}
	a.report()
	return nil
}

// nodeOf returns what opens the Bitcoin node, once.
func nodeOf(o Options, out *cli.IO) func() (*bitcoin.Client, error) {
	return sync.OnceValues(func() (*bitcoin.Client, error) { return bitcoin.Open(o.Bitcoin, out.Warn) })
}

// becomeUser changes from root to the owner of the folder to write to. The state has been
// opened before, and the credentials for the Bitcoin node are read here, while still root.
func (a *anchoring) becomeUser() error {
	if a.AskNode {
		_, _ = a.openNode() // the next call returns the same error
	}
	if a.Broadcast {
		return nil // see [reorgtool.Open]
	}
	place := &a.DataDir
	if a.Output != "" {
		place = &a.Output
	}
	if err := durable.BecomeUserOf(place); err != nil {
		return a.explain(err)
	}
	return nil
}

// newAnchor makes the anchor, with the tip of the Bitcoin chain if there is a node to ask.
func (a *anchoring) newAnchor(ctx context.Context) error {
	metadata := a.Metadata
	if a.AskNode {
		tip, err := a.tip(ctx)
		if err != nil {
			return err
		}
		metadata = strings.TrimPrefix(metadata+","+tip, ",")
	}
	a.anchor = snapshot.NewAnchor(a.source.report.Root, a.TimestampMs, metadata)
	return nil
}

func (a *anchoring) tip(ctx context.Context) (string, error) {
	node, err := a.openNode()
	if err != nil {
		return "", err
	}
	info, err := node.ChainInfo(ctx)
	if err != nil {
		return "", err
	}
	if behind := info.Behind(a.out.Now()); behind != "" {
		a.out.Warn("the Bitcoin node may be behind the chain: %s", behind)
	}
	return fmt.Sprintf("btc_height=%d,btc_hash=%s", info.Blocks, info.BestBlockHash), nil
}

// anchoring is one run.
type anchoring struct {
	Options
	out    *cli.IO
	source source
	anchor *snapshot.Anchor

	bare     []string // the first peg-outs without an anchor hash
	bareMore uint64   // how many more there are
	file     string   // where the snapshot is or would be
	written  snapshot.Located

	// Of a broadcast:
	db       *reorgdb.DB
	openNode func() (*bitcoin.Client, error)
	node     *bitcoin.Client
	payment  *payment
	done     bool // an earlier run has written the snapshot
}

// maxPegOutsListed limits the list in the document; further peg-outs are only counted.
const maxPegOutsListed = 1000

// warn reports what is wrong with the state. None of it prevents anchoring: the root
// covers what a node reads.
func (a *anchoring) warn(ctx context.Context) error {
	report := a.source.report
	if a.source.state == nil && report.Verdict() != snapshot.Valid {
		a.out.Warn("%s: the latest snapshot, at byte %d, does not verify as it is: %s", a.StateFile, report.Offset, report.Verdict())
	}
	for _, f := range report.Findings {
		switch {
		case !f.Kind.Matters() || f.Kind == snapshot.UnboundPayload: // the anchor is replaced
		case a.source.state != nil:
			a.out.Warn("%s: %s: %d record(s) repeat the key of another: the state root depends on the order of such records", a.StateFile, f.Section, f.Count)
		default:
			a.out.Warn("%s: %s", a.StateFile, f)
		}
	}
	for rec, err := range a.source.checker.Records(ctx, a.source.r, report, snapshot.PegOuts) {
		if err != nil {
			return err
		}
		pegOut := rec.Value().(snapshot.PegOut)
		if pegOut.AnchorCommitmentHash != "" {
			continue
		}
		a.out.Warn("peg-out %s has no anchor hash", pegOut.PegID)
		if len(a.bare) == maxPegOutsListed {
			a.bareMore++
		} else {
			a.bare = append(a.bare, terminal.Text(pegOut.PegID))
		}
	}
	return nil
}

// target returns the file that the snapshot goes to.
func (a *anchoring) target() string {
	if a.Output != "" {
		return a.Output
	}
	return filepath.Join(a.DataDir, snapshot.FileName)
}

func (a *anchoring) checkDataDir() error {
	if _, err := os.Stat(a.DataDir); err != nil {
		return exit.Fail("name the node's data directory with --data-dir, or a new file with --output", err) // the data directory is missing
	}
	return nil
}

// write writes the anchored state to its target. The error carries the exit code.
func (a *anchoring) write(ctx context.Context) error {
	a.file = a.target()
	if err := a.put(ctx); err != nil {
		return a.explain(err)
	}
	return nil
}

func (a *anchoring) put(ctx context.Context) error {
	switch {
	case a.Output != "" && a.DryRun:
		return a.foresee(ctx, durable.CouldCreate(a.file, false))
	case a.Output != "":
		return a.create(ctx)
	}
	if err := a.checkDataDir(); err != nil {
		return err
	}
	if a.DryRun {
		err := a.couldAppend()
		if errors.Is(err, fs.ErrNotExist) {
			err = durable.CouldCreate(a.file, false)
		}
		return a.foresee(ctx, err)
	}
	err := a.append(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = a.create(ctx); errors.Is(err, fs.ErrExist) {
		return a.append(ctx) // a node has created it in the meantime
	}
	return err
}

// foresee ends a dry run. err is what would keep the file from being written; without it,
// foresee measures what would be written.
func (a *anchoring) foresee(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	text, err := a.anchored(ctx)
	if err == nil {
		a.written.Size, err = text.WriteTo(io.Discard)
	}
	return err
}

// couldAppend checks, without waiting, that the node's file can be opened and locked.
func (a *anchoring) couldAppend() error {
	f, err := durable.OpenRegular(a.file, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return err
	}
	if err = durable.Lock(f); err == nil {
		err = a.unchanged(f)
	}
	return errors.Join(err, durable.Unlock(f))
}

// create writes a new file.
func (a *anchoring) create(ctx context.Context) error {
	if _, err := os.Lstat(a.file); err == nil {
		return &os.PathError{Op: "create", Path: a.file, Err: fs.ErrExist}
	}
	f, err := durable.Create(a.file, 0o640)
	if err != nil {
		return err
	}
	defer f.Abort()
	text, err := a.anchored(ctx)
	if err != nil {
		return err
	}
	size, err := text.WriteTo(f.File)
	if err != nil {
		return err
	}
	a.written = snapshot.Located{Size: size, BodyEnd: size - int64(len(snapshot.EndLine)+1)}
	if err := a.verify(ctx, f.File, text, a.written); err != nil {
		return err
	}
	return f.Commit(false)
}

// writerWait is how long a writer may take for one snapshot.
const writerWait = 10 * time.Second

// append appends to the file of a node, which may be running. No other process has the
// file open while it writes: one that tries to open it waits until append is done.
func (a *anchoring) append(ctx context.Context) (err error) {
	f, err := durable.OpenRegular(a.file, os.O_RDWR|os.O_APPEND)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, durable.Unlock(f)) }()
	// A run that prunes the file in place holds this lock.
	if err := durable.Lock(f); err != nil {
		return err
	}
	if err := a.source.readFrom(f); err != nil {
		return err
	}
	// Without leases, a single write at the end of the file is the best that can be done.
	if err := lease.AwaitAlone(ctx, f, writerWait); err != nil && !errors.Is(err, lease.ErrUnsupported) {
		return err
	}
	if err := a.unchanged(f); err != nil {
		return err
	}
	terminated, err := snapshot.Terminated(f)
	if err != nil {
		return err
	}
	text, err := a.anchored(ctx)
	if err != nil {
		return err
	}
	a.written, err = snapshot.Append(f, text, func(l snapshot.Located) error { return a.verify(ctx, f, text, l) })
	if err == nil && !terminated {
		a.out.Warn("%s ended in a torn line, which was terminated before the snapshot at byte %d", a.file, a.written.Offset)
	}
	return err
}

var (
	errGrew = errors.New("a newer snapshot may have been appended in the meantime")
	errCopy = errors.New("the snapshot read back differs from the one written: do not trust this disk")
)

// unchanged returns an error if the file was replaced after f was opened, or if the state
// was read from f and f has grown since.
func (a *anchoring) unchanged(f *os.File) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(a.file)
	if err != nil {
		return err
	}
	if !os.SameFile(mine, named) || (a.source.same && mine.Size() != a.source.in.Base+a.source.in.Size) {
		return errGrew
	}
	return nil
}

// verify reads the written snapshot back: a node must find it as the latest, with
// the root that was computed. Its peg-outs cannot carry its own anchor hash.
func (a *anchoring) verify(ctx context.Context, f *os.File, text io.WriterTo, at snapshot.Located) error {
	l, err := snapshot.Latest(f, at.End())
	if err != nil {
		return errors.Join(errCopy, err)
	}
	if l != at {
		return errCopy
	}
	if text, ok := text.(*snapshot.Text); ok {
		// The text that the root was computed from is still in memory. Comparing the bytes
		// is cheaper than computing the root again, above all for unsorted records.
		same, err := durable.SameBytes(io.NewSectionReader(f, l.Offset, l.Size), io.NewSectionReader(text, 0, l.Size))
		if err == nil && !same {
			err = errCopy
		}
		return err
	}
	report, err := a.source.checker.Check(ctx, f, l)
	if err == nil && (!report.Holding() || report.Counts != a.source.report.Counts || *report.Anchor != *a.anchor) {
		err = errCopy
	}
	return err
}

// explain adds the exit code and hint to an error from writing.
func (a *anchoring) explain(err error) error {
	var known *exit.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrExist):
		return exit.Failf("name another output", "%s already exists", a.file)
	case errors.Is(err, lease.ErrHeld):
		return exit.Fail("run it again when they are done, or stop them", err)
	case errors.Is(err, errGrew):
		return exit.Fail("run the command again", fmt.Errorf("%s: %w", a.file, err))
	case durable.Hint(err) != "":
		return exit.Fail(durable.Hint(err), err)
	case errors.Is(err, fs.ErrNotExist):
		return exit.Fail("make the folder first", err)
	}
	return exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", a.file, err))
}

// document is the JSON result.
type document struct {
	StateFile           string            `json:"state_file"`
	SnapshotTimestampMs uint64            `json:"snapshot_timestamp_ms"`
	Records             map[string]uint64 `json:"records"`
	StateRoot           string            `json:"state_root"`
	TimestampMs         uint64            `json:"timestamp_ms"`
	Metadata            string            `json:"metadata"`
	Payload             string            `json:"payload"`
	AnchorHash          string            `json:"anchor_hash"`
	Commitment          string            `json:"commitment"` // hex, like the scripts
	OpReturnScript      string            `json:"op_return_script"`
	Tapscript           string            `json:"tapscript,omitempty"`
	PegOutsBare         []string          `json:"pegouts_without_anchor"`
	PegOutsBareMore     uint64            `json:"pegouts_without_anchor_not_listed,omitempty"`
	DryRun              bool              `json:"dry_run"`
	Transaction         *payment          `json:"transaction,omitempty"`
	File                string            `json:"file"`
	Offset              *int64            `json:"offset,omitempty"` // not known in a dry run
	Size                int64             `json:"size"`
	ExitCode            int               `json:"exit_code"`
}

// report prints what was anchored and where it was written.
func (a *anchoring) report() {
	commitment := snapshot.Commitment(a.anchor.Payload)
	script := hex.EncodeToString(snapshot.OpReturnScript(commitment))
	tapscript := ""
	if a.Tapscript {
		tapscript = hex.EncodeToString(snapshot.TapscriptFragment(commitment))
	}
	if a.out.JSON() {
		doc := document{
			StateFile:           terminal.Text(a.StateFile),
			SnapshotTimestampMs: a.source.report.TimestampMs,
			Records:             map[string]uint64{},
			StateRoot:           a.anchor.L2StateRoot,
			TimestampMs:         a.anchor.TimestampMs,
			Metadata:            terminal.Text(a.anchor.RecoveryMetadata),
			Payload:             terminal.Text(a.anchor.Payload),
			AnchorHash:          a.anchor.Hash,
			Commitment:          hex.EncodeToString(commitment),
			OpReturnScript:      script,
			Tapscript:           tapscript,
			PegOutsBare:         append([]string{}, a.bare...),
			PegOutsBareMore:     a.bareMore,
			DryRun:              a.DryRun,
			Transaction:         a.payment,
			File:                terminal.Text(durable.Shown(a.file)),
			Size:                a.written.Size,
		}
		for i, n := range a.source.report.Counts {
			doc.Records[snapshot.Section(i).String()] = n
		}
		if !a.DryRun || a.done {
			doc.Offset = &a.written.Offset
		}
		a.out.Document(doc)
		return
	}
	a.out.Printf("L2StateRoot: %s\n", a.anchor.L2StateRoot)
	a.out.Printf("Anchor hash: %s\n", a.anchor.Hash)
	a.out.Printf("Payload: %s\n", terminal.For(a.out.Out, a.anchor.Payload))
	a.out.Printf("OP_RETURN script: %s\n", script)
	if a.Tapscript {
		a.out.Printf("Tapscript fragment: %s\n", tapscript)
	}
	a.payment.print(a.out, a.DryRun)
	size := terminal.Size(a.written.Size)
	switch {
	case a.done:
		a.out.Printf("Already written: %s in %s, at byte %d\n", size, terminal.Text(durable.Shown(a.file)), a.written.Offset)
	case a.DryRun:
		a.out.Printf("Would write %s to %s\n", size, terminal.Text(durable.Shown(a.file)))
	case a.Output != "":
		a.out.Printf("Wrote %s to %s\n", size, terminal.Text(durable.Shown(a.file)))
	default:
		a.out.Printf("Appended %s to %s, at byte %d\n", size, terminal.Text(durable.Shown(a.file)), a.written.Offset)
	}
}
