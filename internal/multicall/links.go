package multicall

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
)

// installLinks makes a symbolic link to this program in a folder for each command. Existing
// links to the program stay; if anything else has one of the names, no link is made.
func installLinks(folder string, out *cli.IO) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	target, err := fromFolder(folder, program)
	if err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	made, kept := []string{}, []string{}
	for _, t := range Commands() {
		switch there, err := leadsTo(filepath.Join(folder, t.Name), program); {
		case err != nil:
			return err
		case there:
			kept = append(kept, t.Name)
		default:
			made = append(made, t.Name)
		}
	}
	for _, name := range made {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			return exit.Fail(durable.Hint(err), err)
		}
	}
	if err := durable.SyncDir(folder); err != nil {
		return exit.Fail(durable.Hint(err), err)
	}
	program, folder = terminal.Text(program), terminal.Text(folder)
	out.Printf("Made %d links to %s in %s, kept %d\n", len(made), program, folder, len(kept))
	if out.JSON() {
		out.Document(map[string]any{"program": program, "folder": folder, "made": made, "kept": kept, "exit_code": exit.OK})
	}
	return nil
}

// fromFolder returns the target of a link in the folder to the program: just its name if the
// program is in the same folder, so that both can be moved together.
func fromFolder(folder, program string) (string, error) {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return "", err
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", err
	}
	if real == filepath.Dir(program) {
		return filepath.Base(program), nil
	}
	return program, nil
}

// leadsTo reports whether a path exists and leads to the program. A path that leads elsewhere
// is an error.
func leadsTo(path, program string) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if there, err := os.Stat(path); err == nil {
		if here, err := os.Stat(program); err == nil && os.SameFile(there, here) {
			return true, nil
		}
	}
	return false, exit.Failf("see what it is, then remove it: rm "+exit.Command(path), "%s exists and is not a link to %s: no link was made", path, program)
}
