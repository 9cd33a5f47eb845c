package diffsnapshots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// latest is the number of the snapshot that a node would load.
const latest = -1

// side is A or B.
type side struct {
	arg     string // as given
	path    string
	index   int64 // of the named snapshot, latest, or 0 if none was named
	in      *input.Input
	shared  bool // in is that of the other side
	r       *io.SectionReader
	checker *snapshot.Checker

	// The snapshot whose records are compared:
	report     *snapshot.Report
	unverified error // why its state root could not be computed
}

// newSide returns the side that an argument names, not yet opened. A file whose name is the whole
// argument takes precedence.
func newSide(arg string, memory *snapshot.Memory) *side {
	s := &side{arg: arg, path: arg, checker: snapshot.NewChecker(memory)}
	at := strings.LastIndexByte(arg, '@')
	if _, err := os.Stat(arg); err != nil && at > 0 {
		if index, ok := parseIndex(arg[at+1:]); ok {
			s.path, s.index = arg[:at], index
		}
	}
	return s
}

// open opens the file. If the other side, nil for none, has the same one, it is not opened again:
// a prune may replace it meanwhile, and then the numbers are those of other snapshots.
func (s *side) open(ctx context.Context, other *side) (err error) {
	if s.shared = other != nil && other.path == s.path; s.shared {
		s.in, s.r = other.in, other.in.Section()
		return nil
	}
	s.in, err = input.OpenRegular(ctx, s.path)
	hint := snapshottool.ReadHint(err)
	switch {
	case err == nil:
		s.r = s.in.Section()
		return nil
	case errors.Is(err, input.ErrNotSeekable):
		hint = "write its content to a file first"
	case errors.Is(err, syscall.EISDIR):
		hint = "name the snapshot file in it"
	case errors.Is(err, fs.ErrNotExist) && strings.LastIndexByte(s.arg, '@') > 0 && s.index == 0:
		hint = "name a snapshot of a file as FILE@K, counted from 1, or FILE@latest"
	}
	return exit.Fail(hint, err) // a side cannot be opened
}

func (s *side) close() {
	if !s.shared {
		_ = s.in.Close()
	}
}

// parseIndex reads what comes after the @.
func parseIndex(text string) (int64, bool) {
	if text == "latest" {
		return latest, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0
}

// find finds the named snapshot, or the latest.
func (s *side) find(ctx context.Context) (l snapshot.Located, err error) {
	if s.index > 0 {
		l, _, err = snapshottool.FindNumbered(ctx, s.in, s.index)
	} else {
		l, err = snapshot.Latest(s.r, s.in.Size)
	}
	return l, s.explain(err)
}

// check reads the snapshot whose records are to be compared. One that is too large to
// compute its root can still be compared.
func (s *side) check(ctx context.Context, l snapshot.Located) (err error) {
	var large *snapshot.SectionTooLargeError
	if s.report, err = s.checker.Check(ctx, s.r, l); errors.As(err, &large) {
		s.unverified = err
		s.report, err = s.checker.Survey(ctx, s.r, l)
	}
	return s.explain(err)
}

// explain adds the file, exit code and hint to an error from reading it.
func (s *side) explain(err error) error {
	err = snapshottool.Reader{}.Unless(err, s.in)
	var known *exit.Error
	var missing *snapshottool.NoSuchError
	hint := snapshottool.ReadHint(err)
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, snapshot.ErrNoSnapshot):
		hint = "see what can be recovered: " + exit.Command("ailee_recover_snapshots", "--dry-run", s.path, "OUT")
	case errors.As(err, &missing):
		hint = "list its snapshots: " + exit.Command("ailee_l2_verify", "--all", "--snapshot", s.path)
	}
	return exit.Fail(hint, fmt.Errorf("%s: %w", s.path, err)) // a side has no such snapshot
}
