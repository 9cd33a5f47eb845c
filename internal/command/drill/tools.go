package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/child"
	"ailee-recovery/internal/exit"
)

// The commands of the tools that are drilled.
const (
	l2Verify         = "ailee_l2_verify"
	initNode         = "ailee_init_node"
	createAnchor     = "ailee_create_anchor"
	extractSnapshots = "ailee_extract_snapshots"
	pruneSnapshots   = "ailee_prune_snapshots"
	initReorgDB      = "ailee_init_reorg_db"
	reorgVerify      = "ailee_reorg_verify"
	resyncBlocks     = "ailee_resync_blocks"
	backup           = "ailee-backup"
	restore          = "ailee-restore"
	doctor           = "ailee-doctor"
)

// toolbox runs the tools.
type toolbox struct {
	ctx     context.Context
	folders []string // searched before PATH
	// self is the path of this program. among reports whether it is also the tool with a name.
	self  string
	among func(name string) bool
	env   []string
}

func newToolbox(ctx context.Context, first string, among func(name string) bool) toolbox {
	t := toolbox{ctx: ctx, among: among, env: slices.DeleteFunc(os.Environ(), ofTheNode)}
	if first != "" {
		t.folders = append(t.folders, first)
	}
	if self, err := os.Executable(); err == nil {
		t.self = self
		t.folders = append(t.folders, filepath.Dir(self))
	}
	return t
}

// find returns the path of a tool.
func (t *toolbox) find(name string) (string, error) {
	for _, folder := range t.folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	if t.self != "" && t.among(name) {
		return t.self, nil
	}
	return exec.LookPath(name)
}

// need returns an error if a tool that the mode needs is missing.
func (t *toolbox) need(o Options) error {
	needed := []string{l2Verify, initNode, createAnchor, reorgVerify, resyncBlocks}
	switch o.Mode {
	case Crash:
		needed = append(needed, pruneSnapshots, initReorgDB)
	case Corruption:
		needed = append(needed, extractSnapshots, initReorgDB, backup, restore)
	}
	if _, err := t.find(doctor); err == nil {
		needed = append(needed, backup) // without which the doctor is not satisfied
	}
	for _, name := range needed {
		if _, err := t.find(name); err != nil {
			return exit.Failf("install it, or set "+toolsVariable+" to the folder of the ailee tools", "%s is missing", name)
		}
	}
	return nil
}

// said is the result of a tool that ended by itself.
type said struct {
	code           int // its exit status
	stdout, stderr []byte
}

// outcome describes the result in one line, with the first line of the tool's standard error.
func (s said) outcome(name string) string {
	text := fmt.Sprintf("%s exits with %d", name, s.code)
	for line := range strings.Lines(string(s.stderr)) {
		if line = strings.TrimSpace(line); line != "" {
			return text + " (" + strings.TrimPrefix(line, name+": ") + ")"
		}
	}
	return text
}

// run runs a tool. It returns an error if the tool did not end by itself, or ended with a status
// that no tool uses, such as after running out of memory.
func (t *toolbox) run(name string, args ...string) (said, error) {
	cmd, err := t.command(name, args...)
	if err != nil {
		return said{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = child.Run(cmd)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && !errors.Is(err, exec.ErrWaitDelay) {
		return said{}, own(err)
	}
	s := said{cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.Bytes()}
	if child.Interrupted(cmd) { // from the terminal: the drill gets the signal as well, perhaps later
		return s, exit.Failf("", "%s: %w", name, exit.ErrInterrupted)
	}
	if s.code < exit.OK || s.code > exit.Wrong {
		return s, exit.Failf("", "%s ended with %s", name, cmd.ProcessState)
	}
	return s, nil
}

func (t *toolbox) command(name string, args ...string) (*exec.Cmd, error) {
	path, err := t.find(name)
	if err != nil {
		return nil, own(err)
	}
	cmd := exec.CommandContext(t.ctx, path, args...)
	cmd.Args[0] = name
	cmd.Env = t.env
	// Processes that the tool has started must not hold up the drill.
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// exits is a step in which a tool ends with an exit status. The next steps check what the tool
// did: one that does nothing may end with 0.
func (t *toolbox) exits(code int, name string, args ...string) func() error {
	return func() error {
		s, err := t.run(name, args...)
		if err == nil && s.code != code {
			err = fmt.Errorf("%s, not with %d", s.outcome(name), code)
		}
		return err
	}
}

// reports is a step in which a tool ends with an exit status, and its JSON document, decoded into
// a T, passes check.
func reports[T any](t *toolbox, code int, check func(doc T) error, name string, args ...string) func() error {
	return func() error {
		s, err := t.run(name, append([]string{"--json"}, args...)...)
		if err != nil {
			return err
		}
		if s.code != code {
			return fmt.Errorf("%s, not with %d", s.outcome(name), code)
		}
		var doc struct {
			ExitCode *int `json:"exit_code"`
		}
		var result T
		err = json.Unmarshal(s.stdout, &doc)
		if err == nil {
			err = json.Unmarshal(s.stdout, &result)
		}
		if err != nil || doc.ExitCode == nil || *doc.ExitCode != code {
			return fmt.Errorf("%s, without a JSON document for it", s.outcome(name))
		}
		if err := check(result); err != nil {
			return fmt.Errorf("%s says %w", name, err)
		}
		return nil
	}
}

// killed is a step in which a tool is killed after a while, if it is still running. That is the
// moment of the crash: the step waits for nothing else.
func (t *toolbox) killed(after time.Duration, name string, args ...string) func() error {
	return func() error {
		cmd, err := t.command(name, args...)
		if err != nil {
			return err
		}
		p, err := child.Start(cmd)
		if err != nil {
			return own(err)
		}
		select {
		case <-p.Ended():
		case <-time.After(after):
		}
		p.Kill()
		return t.ctx.Err()
	}
}
