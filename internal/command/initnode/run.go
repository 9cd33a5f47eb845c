package initnode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// The parts of a data directory.
const (
	snapshots = "l2_snapshots.dat"
	database  = "reorg_db"
	backups   = "backups"
)

var parts = []string{snapshots, database, backups}

// ready is the folder that has the parts once all of them are on disk. Only renames are
// left to do then; after a crash, the next run completes them.
const ready = ".ailee_init_node-ready"

// Run makes what is missing. The error carries the exit code.
func Run(ctx context.Context, o Options, out *cli.IO) error {
	n := &initialization{Options: o, out: out}
	err := n.run(ctx)
	var known *exit.Error
	switch {
	case err == nil || errors.As(err, &known):
	default:
		return exit.Fail(durable.Hint(err), err)
	}
	return err
}

type initialization struct {
	Options
	out        *cli.IO
	made, kept []string
}

// document is the JSON result.
type document struct {
	DataDir  string   `json:"data_dir"`
	Made     []string `json:"made"`
	Kept     []string `json:"kept"`
	ExitCode int      `json:"exit_code"`
}

func (n *initialization) run(ctx context.Context) error {
	var owner durable.Owner
	var err error
	if n.Owner != "" {
		if owner, err = durable.ParseOwner(n.Owner); err != nil {
			return exit.Fail(Name+" --help shows the usage", fmt.Errorf("--owner: %w", err))
		}
	}
	if err := owner.BecomeUserOf(&n.DataDir); err != nil {
		return err
	}
	if n.Owner == "" {
		if owner, err = durable.OwnerOf(n.DataDir); err != nil {
			return err
		}
	}
	folders, err := durable.MakeAll(n.DataDir, owner.GiveFolder)
	if err == nil {
		// Only root could make the folder; from here on, the process runs as its owner.
		err = owner.BecomeUserOf(&n.DataDir)
	}
	if err == nil {
		err = n.fill(ctx, owner)
	}
	if err != nil {
		for _, folder := range slices.Backward(folders) {
			_ = os.Remove(folder) // fails if another process has put something there
		}
		return err
	}
	if n.out.JSON() {
		n.out.Document(document{DataDir: terminal.Text(durable.Shown(n.DataDir)), Made: append([]string{}, n.made...), Kept: append([]string{}, n.kept...)})
		return nil
	}
	if len(n.kept) > 0 {
		n.out.Printf("Kept %s\n", strings.Join(n.kept, ", "))
	}
	if len(n.made) > 0 {
		n.out.Printf("Made %s in %s\n", strings.Join(n.made, ", "), terminal.Text(durable.Shown(n.DataDir)))
	}
	return nil
}

// fill makes the missing parts in a directory that exists.
func (n *initialization) fill(ctx context.Context, owner durable.Owner) error {
	if err := n.completeEarlierRun(); err != nil {
		return err
	}
	missing, err := n.missing(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	pending, err := durable.CreateDir(filepath.Join(n.DataDir, ready))
	if err != nil {
		return err
	}
	defer pending.Abort()
	for _, part := range missing {
		if err := makePart(ctx, filepath.Join(pending.Path, part), part); err != nil {
			return err
		}
	}
	if err := pending.Give(owner); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := pending.Commit(); err != nil {
		return err
	}
	return n.publish()
}

// missing returns the parts that are to be made, after it has found the existing ones to
// be sound.
func (n *initialization) missing(ctx context.Context) ([]string, error) {
	var missing []string
	for _, part := range parts {
		path := filepath.Join(n.DataDir, part)
		_, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, part)
			continue
		case err != nil:
			return nil, err
		case slices.Contains(n.made, part):
			continue
		case part == backups: // backups outlive the node's data
		case !n.IfMissing:
			return nil, exit.Failf("keep it with --if-missing, or move it away first", "%s already exists", path)
		}
		if err := checkPart(ctx, path, part); err != nil {
			return nil, err
		}
		n.kept = append(n.kept, part)
	}
	return missing, nil
}

// publish moves the parts out of the ready folder to their names, all of them or none.
func (n *initialization) publish() error {
	from := filepath.Join(n.DataDir, ready)
	names, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var named []string
	for _, entry := range names {
		err := durable.RenameNew(filepath.Join(from, entry.Name()), filepath.Join(n.DataDir, entry.Name()))
		if err != nil {
			for _, name := range named {
				err = errors.Join(err, durable.RenameNew(filepath.Join(n.DataDir, name), filepath.Join(from, name)))
			}
			return errors.Join(err, os.RemoveAll(from))
		}
		named = append(named, entry.Name())
	}
	n.made = append(n.made, named...)
	return errors.Join(durable.SyncDir(n.DataDir), os.Remove(from))
}

// completeEarlierRun publishes the parts of an earlier run that was killed while it
// renamed them.
func (n *initialization) completeEarlierRun() error {
	info, err := os.Lstat(filepath.Join(n.DataDir, ready))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir(): // through a link, files would be moved here from elsewhere
		return exit.Failf("find out who put it there, and remove it", "%s is not a folder", filepath.Join(n.DataDir, ready))
	}
	n.out.Warn("%s: an earlier run was killed: completing it", n.DataDir)
	n.made = append(n.made, n.publishedBefore()...)
	return n.publish()
}

// publishedBefore returns the parts that the earlier run had already renamed: those that
// are no longer in the ready folder.
func (n *initialization) publishedBefore() []string {
	var before []string
	for _, part := range parts {
		_, held := os.Lstat(filepath.Join(n.DataDir, ready, part))
		_, there := os.Lstat(filepath.Join(n.DataDir, part))
		if held != nil && there == nil {
			before = append(before, part)
		}
	}
	return before
}

func makePart(ctx context.Context, path, part string) error {
	switch part {
	case snapshots:
		return makeSnapshots(ctx, path)
	case database:
		return makeDatabase(ctx, path)
	default:
		return os.Mkdir(path, 0o750)
	}
}

// makeSnapshots writes the genesis snapshot: an empty file would not load.
func makeSnapshots(ctx context.Context, path string) error {
	st := snapshot.State{TimestampMs: uint64(time.Now().UnixMilli())}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), st.TimestampMs, "genesis")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	if err := errors.Join(snapshot.Encode(f, &st), f.Sync(), f.Close()); err != nil {
		return err
	}
	return checkSnapshots(ctx, path)
}

func makeDatabase(ctx context.Context, path string) error {
	db, err := reorgdb.Create(path)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return checkDatabase(ctx, path)
}
