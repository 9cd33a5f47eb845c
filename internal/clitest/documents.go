package clitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	urfave "github.com/urfave/cli/v2"

	"ailee-recovery/internal/cli"
)

// DocumentsDir is the environment variable with the folder for copies of every JSON document
// that the tools print while the tests run.
const DocumentsDir = "AILEE_TEST_DOCUMENTS"

// Unrecorded is for the environment of a process that will be killed and may print half a
// document.
const Unrecorded = DocumentsDir + "="

// validated runs the tests, and fails if a document that they print does not match its schema.
type validated struct {
	*testing.M
	whole []string // the tools whose documents must have every field
}

func (v validated) Run() int {
	notIgnored(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	dir, err := os.MkdirTemp("", "ailee-documents-")
	if err == nil {
		err = os.Setenv(DocumentsDir, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	code := v.M.Run()
	var whole []string
	if code == 0 && !UnderRace && !narrowed() {
		whole = v.whole
	}
	if err := checkDocuments(dir, whole); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// notIgnored makes the commands that tests run receive signals. They would inherit that signals
// are ignored if this process was started that way, for example under nohup.
func notIgnored(signals ...os.Signal) {
	for _, s := range signals {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// narrowed reports whether only some of the tests are run.
func narrowed() bool {
	return slices.ContainsFunc(os.Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-test.run=") || strings.HasPrefix(arg, "-test.skip=") || strings.HasPrefix(arg, "-test.list=")
	})
}

// recorded returns the tool, changed to keep a copy of every document that it prints. It is for a
// separate process, which closes the copy when it ends.
func recorded(t cli.Tool) cli.Tool {
	run := t.Run
	t.Run = func(ctx context.Context, c *urfave.Context, out *cli.IO) error {
		if out.JSON() && os.Getenv(DocumentsDir) != "" {
			f, err := newDocument(t.Name)
			if err != nil {
				return err
			}
			out.Out = io.MultiWriter(out.Out, f)
		}
		return run(ctx, c, out)
	}
	return t
}

// Record keeps a copy of what a tool printed, if it is a document.
func Record(name string, args []string, stdout string) error {
	if !slices.Contains(args, "--json") {
		return nil
	}
	f, err := newDocument(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(stdout)
	return errors.Join(err, f.Close())
}

// newDocument creates the file for the copy of a document, NAME.NUMBER.
func newDocument(name string) (*os.File, error) {
	return os.CreateTemp(os.Getenv(DocumentsDir), name+".*")
}

// checkDocuments validates every document in the folder. For the tools in whole, it is also an
// error if a field in the schema is in none of their documents.
func checkDocuments(dir string, whole []string) error {
	schemas, seen := map[string]*jsonschema.Schema{}, fields{}
	for _, name := range whole {
		s, err := Schema(name)
		if err != nil {
			return err
		}
		schemas[name] = s
		seen.declare(s)
	}
	documents, err := os.ReadDir(dir)
	problems := []error{err}
	for _, d := range documents {
		name := strings.TrimSuffix(d.Name(), filepath.Ext(d.Name()))
		if schemas[name] == nil {
			if schemas[name], err = Schema(name); err != nil {
				return fmt.Errorf("%s --json has no schema: %w", name, err)
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, d.Name()))
		if err != nil {
			return err
		}
		for _, text := range documentsIn(name, text) {
			doc, err := validate(schemas[name], text)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s --json does not match its schema: %w\n%.4000s", name, err, text))
				continue
			}
			seen.mark(schemas[name], doc)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(seen)) {
		if !seen[field] {
			problems = append(problems, fmt.Errorf("no test prints the field %s", field))
		}
	}
	if n := len(problems) - maxProblems; n > 0 {
		problems = append(problems[:maxProblems], fmt.Errorf("%d more", n))
	}
	return errors.Join(problems...)
}

// streams has the tools that print one document per line.
var streams = map[string]bool{"ailee_reorg_show": true, "ailee_show_snapshot": true, "ailee_diff_snapshots": true}

// documentsIn returns the documents in the output of a tool.
func documentsIn(name string, text []byte) [][]byte {
	if !streams[name] {
		return [][]byte{text}
	}
	return bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// maxProblems bounds how many problems are printed.
const maxProblems = 20
