package initnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// checkPart checks that a node can start with a part.
func checkPart(ctx context.Context, path, part string) error {
	switch part {
	case snapshots:
		return checkSnapshots(ctx, path)
	case database:
		return reorgtool.Explain(path, checkDatabase(ctx, path))
	default:
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			err = &os.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
		}
		return err
	}
}

// checkSnapshots verifies the snapshot that a node would load.
func checkSnapshots(ctx context.Context, path string) error {
	in, err := input.OpenRegular(ctx, path)
	if err != nil {
		return err
	}
	defer in.Close()
	r := in.Section()
	hint := "see what is wrong with it: " + exit.Command("ailee_l2_verify", "--all", "--snapshot", path)
	latest, err := snapshot.Latest(r, in.Size)
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		if f := (snapshottool.Reader{}).Foreign(in); f != nil {
			return exit.WrongData(f.Hint, f)
		}
		return exit.WrongData(hint, fmt.Errorf("%s: %w", path, err))
	}
	if err != nil {
		return err
	}
	report, err := snapshot.NewChecker(nil).Check(ctx, r, latest)
	if err != nil {
		return exit.Fail(snapshottool.ReadHint(err), fmt.Errorf("%s: %w", path, err))
	}
	// Peg-outs do not keep a node from starting, although the nodes' verifier rejects them all.
	if !report.Holding() {
		return exit.WrongData(hint, fmt.Errorf("%s: the latest snapshot does not verify: %s", path, report.Verdict()))
	}
	return nil
}

// checkDatabase reads every record.
func checkDatabase(ctx context.Context, path string) (err error) {
	db, err := reorgdb.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Check(ctx)
}
