package flags

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
	"ailee-recovery/snapshot"
)

// SnapshotFile is the snapshot file that a tool reads.
type SnapshotFile struct {
	Path  string // "-" for standard input
	Named bool   // by a flag or an argument; otherwise it is the node's file
}

// ParseSnapshotFile takes the file from the flag of that name or from the argument; flag is
// "" for a tool without such a flag. If neither names a file, it is the node's.
func ParseSnapshotFile(c *urfave.Context, flag string) (f SnapshotFile, err error) {
	byFlag, byArgument := flag != "" && c.IsSet(flag), c.Args().Present()
	what := "FILE"
	switch {
	case byFlag && byArgument:
		return f, fmt.Errorf("the file is named twice, as an argument and with --%s", flag)
	case byFlag:
		f, what = SnapshotFile{c.String(flag), true}, "--"+flag
	case byArgument:
		f = SnapshotFile{c.Args().First(), true}
	default:
		f.Path = filepath.Join(cmp.Or(os.Getenv("AILEE_DATA_DIR"), DefaultDataDir), snapshot.FileName)
	}
	if f.Path == "" {
		err = fmt.Errorf("%s is empty", what)
	}
	return f, err
}

// Say prints which file is read if none was named. It uses standard error with every tool,
// since scripts read the standard output of some.
func (f SnapshotFile) Say(out *cli.IO) {
	if !f.Named {
		out.Note("reading %s", f.Path)
	}
}

// SnapshotFileEnvironment is what the help says about the default.
func SnapshotFileEnvironment() cli.Entry {
	return cli.Entry{Name: "AILEE_DATA_DIR", Text: "the folder whose " + snapshot.FileName + " is read when no FILE is named, instead of " + DefaultDataDir}
}
