package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/manual"
	"ailee-recovery/internal/command/drill"
	"ailee-recovery/internal/multicall"
)

// tools are the tools with a page: the commands, and the program that contains them.
var tools = append(multicall.Commands(), multicall.Tool())

// aliases maps the names of scripts that only run a command to the command, whose page and
// completions they share.
var aliases = map[string]string{"test_recovery.sh": drill.Name}

// folders are the folders with nothing but generated files.
var folders = []string{"man/man1", "man/man7", "docs/commands", "completions/bash", "completions/zsh", "completions/fish"}

// clockVariable is the environment variable with the clock of the examples, in Unix seconds,
// for this process when it runs as one of the tools.
const clockVariable = "EXAMPLES_NOW"

// runAsTool runs this process as a tool if it was started under the name of one. So the
// examples run what was built from this source and need no other binaries.
func runAsTool() {
	if name := filepath.Base(os.Args[0]); !slices.ContainsFunc(tools, func(t cli.Tool) bool { return t.Name == name }) {
		return
	}
	t, args := multicall.Called(os.Args)
	s := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	if now, err := strconv.ParseInt(os.Getenv(clockVariable), 10, 64); err == nil {
		s.Now = func() time.Time { return time.Unix(now, 0) }
	}
	os.Exit(cli.Execute(context.Background(), t, args, s))
}

// root returns the folder of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// update writes the generated files.
func update(root string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	return write(root, files)
}

// write makes the folders contain these files and no others.
func write(root string, files map[string]string) error {
	present, err := committed(root)
	if err != nil {
		return err
	}
	for _, name := range present {
		if _, ok := files[name]; !ok {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				return err
			}
		}
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// committed returns the names in the repository of the generated files that exist.
func committed(root string) (names []string, err error) {
	for _, folder := range folders {
		err = filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, path)
			names = append(names, name)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(root, hintsFile)); err == nil {
		names = append(names, hintsFile)
	}
	return names, nil
}

// generate returns the text of each generated file by its name in the repository.
func generate() (map[string]string, error) {
	names := make([]string, 0, len(tools))
	for _, t := range tools {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	commands := make([]manual.Command, len(names))
	var g errgroup.Group
	for i, name := range names {
		g.Go(func() (err error) {
			if commands[i], err = describe(name); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	runbook, err := os.ReadFile(filepath.Join(root(), "docs", "runbook.md"))
	if err != nil {
		return nil, err
	}
	recovery, err := manual.Recovery(string(runbook), names)
	if err != nil {
		return nil, err
	}
	table, err := hintsPage()
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		hintsFile:                                table,
		"docs/commands/README.md":                manual.Index(commands),
		"man/man7/" + manual.RecoveryPage + ".7": recovery,
	}
	for _, c := range commands {
		maps.Copy(files, map[string]string{
			"man/man1/" + c.Name + ".1":            c.Man(),
			"docs/commands/" + c.Name + ".md":      c.Markdown(),
			"completions/bash/" + c.Name:           c.Bash(),
			"completions/zsh/_" + c.Name:           c.Zsh(),
			"completions/fish/" + c.Name + ".fish": c.Fish(),
		})
		for alias, name := range aliases {
			if name != c.Name {
				continue
			}
			c.Name = alias
			maps.Copy(files, map[string]string{
				"man/man1/" + alias + ".1":            ".so man1/" + name + ".1\n",
				"completions/bash/" + alias:           c.Bash(),
				"completions/zsh/_" + alias:           c.Zsh(),
				"completions/fish/" + alias + ".fish": c.Fish(),
			})
		}
	}
	return files, nil
}

// describe returns a command as its help describes it, with the output of its examples.
func describe(name string) (manual.Command, error) {
	w, err := newWorld()
	if err != nil {
		return manual.Command{}, err
	}
	defer w.close()
	help, err := w.run(name + " --help")
	if err != nil {
		return manual.Command{}, err
	}
	c, err := manual.Parse(help)
	if err != nil {
		return c, err
	}
	if name == multicall.Name {
		for _, t := range multicall.Commands() {
			c.Commands = append(c.Commands, manual.Subcommand{Word: multicall.Short(t.Name), Name: t.Name, Summary: t.Summary})
		}
	}
	s := sessions[name]
	if s.before != nil {
		if err := s.before(w); err != nil {
			return c, err
		}
	}
	for i := range c.Examples {
		if change := s.change[i]; change != nil {
			if err := change(w); err != nil {
				return c, err
			}
		}
		if c.Examples[i].Output, err = w.show(c.Examples[i].Command); err != nil {
			return c, err
		}
	}
	return c, nil
}
