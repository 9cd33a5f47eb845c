package datadir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultUnit is the node's unit unless another is named.
const DefaultUnit = "ailee-node.service"

// unit returns the name of the node's unit, with its suffix.
func (l *looker) unit() string {
	switch {
	case l.Unit == "":
		return DefaultUnit
	case strings.Contains(l.Unit, "."):
		return l.Unit
	}
	return l.Unit + ".service"
}

// unitFolders are where systemd looks for units. The first that has the unit counts, but its
// drop-ins may be in any of them.
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unitFile holds the settings of a unit that matter here.
type unitFile struct{ path, user, group string }

// readUnit reads a unit with its drop-ins. It returns the zero value for one that does not
// exist.
func readUnit(name string) (unitFile, error) {
	var u unitFile
	for _, dir := range unitFolders {
		err := u.read(filepath.Join(dir, name))
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return u, err
		}
	}
	if u.path == "" {
		return u, nil
	}
	dropIns := map[string]string{} // by name: one in an earlier folder hides those in later folders
	for _, dir := range slices.Backward(unitFolders) {
		found, _ := filepath.Glob(filepath.Join(dir, name+".d", "*.conf"))
		for _, path := range found {
			dropIns[filepath.Base(path)] = path
		}
	}
	names := make([]string, 0, len(dropIns))
	for name := range dropIns {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := u.read(dropIns[name]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return u, err
		}
	}
	return u, nil
}

// read applies the settings in one file.
func (u *unitFile) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if u.path == "" {
		u.path = path
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, _ := strings.Cut(line, "=")
		if section != "[Service]" {
			continue
		}
		switch strings.TrimSpace(key) {
		case "User":
			u.user = strings.TrimSpace(value)
		case "Group":
			u.group = strings.TrimSpace(value)
		}
	}
	return nil
}
