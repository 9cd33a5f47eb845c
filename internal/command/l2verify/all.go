package l2verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// all verifies every complete snapshot.
func (v *verifier) all(ctx context.Context) error {
	// On a terminal, the rows themselves show the progress.
	show := !v.out.Quiet() && !terminal.Is(v.out.Out)
	rows := &rowPrinter{v: v, bar: terminal.BytesBar(v.out.Err, show, "verifying", v.in.Size), earlier: snapshot.AnchorSet{},
		json: v.out.Rows(fileDocument{terminal.Text(v.Snapshot)}, "snapshots")}
	defer rows.bar.Done()
	var outside []snapshot.Finding
	var err error
	if v.in.Seekable {
		outside, err = v.allOfFile(ctx, rows)
	} else {
		outside, err = v.allOfStream(ctx, rows)
	}
	rows.bar.Done()
	if rows.count == 0 && err == nil {
		return v.nothingFound(outside)
	}
	return rows.finish(ctx, v.worthSaying(append(rows.stray.Findings(), outside...)), err)
}

// allOfFile verifies on all cores. The rows come in file order all the same.
func (v *verifier) allOfFile(ctx context.Context, rows *rowPrinter) ([]snapshot.Finding, error) {
	r, size := v.in.Section(), v.in.Size
	var err error
	if v.out.JSON() || v.report != nil || v.AcceptEarlierAnchors {
		for report, rErr := range snapshottool.Reports(ctx, r, 0, size, v.memory) {
			if err = rErr; err == nil {
				err = rows.add(ctx, r, report)
			}
			if err != nil {
				return nil, err
			}
		}
	} else {
		// A row needs nothing but its report, so it is made by the worker that has the report.
		for some, bErr := range snapshottool.Batches(ctx, r, 0, size, v.memory, rows.maker()) {
			if err = bErr; err == nil {
				err = rows.addAll(r, some)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return snapshot.TailFindings(r, rows.stray.End(), size)
}

func (v *verifier) allOfStream(ctx context.Context, rows *rowPrinter) ([]snapshot.Finding, error) {
	s := snapshot.NewStream(v.in)
	defer s.Close()
	for {
		l, r, err := s.Next()
		if errors.Is(err, io.EOF) {
			return append(s.HiddenFindings(), s.TailFindings()...), nil
		}
		if err != nil {
			return nil, err
		}
		report, err := v.judge.Check(ctx, r, l)
		if err != nil {
			return nil, err
		}
		if err := rows.add(ctx, r, report); err != nil {
			return nil, err
		}
	}
}

// rowPrinter prints one row for each snapshot, in file order and as soon as it is
// known, so that memory does not grow with the number of snapshots.
type rowPrinter struct {
	v       *verifier
	bar     terminal.Bar
	json    *cli.Rows
	stray   snapshottool.Stray
	earlier snapshot.AnchorSet // the anchors that hold so far

	headed bool
	text   []byte // still to be written
	count  int64
	failed int64 // did not pass
	wrong  int64 // have another verdict than valid
	newest int64 // the index of the newest with the verdict valid; 0 if none
}

// One row of the table, 80 columns wide up to files of 10 GB and snapshots of 100 MB. The
// whole root is in the JSON document.
const (
	rowFormat   = "%5s  %10s  %8s  %-19s  %-8s  %s\n"
	gap         = "  "
	indexWidth  = 5
	offsetWidth = 10
	sizeWidth   = 8
	timeWidth   = 19
	rootDigits  = 8
)

// rows are consecutive rows, in file order.
type rows struct {
	rows []row
	text []byte // the text of all rows
}

// Reset removes all rows.
func (r *rows) Reset() { r.rows, r.text = r.rows[:0], r.text[:0] }

// row is a snapshot whose row of the table was made where the snapshot was checked.
type row struct {
	snapshot.Located
	valid, passed bool
	end           int // of its text, which has no index
}

// maker returns the function that makes the rows of reports. It is called on all cores.
func (p *rowPrinter) maker() func(*rows, *snapshot.Report) {
	v := p.v
	paint := newPaint(v.out.Out)
	quiet := v.out.Quiet()
	return func(some *rows, report *snapshot.Report) {
		judged := snapshot.Judgement{Report: report, Verdict: report.Verdict()}
		found := v.worthSaying(report.Findings)
		passed := v.passed(judged, found)
		if !quiet && (!v.Failed || !passed) {
			some.text = paint.appendRow(some.text, judged, found, passed)
		}
		some.rows = append(some.rows, row{Located: report.Located, valid: judged.Verdict == snapshot.Valid, passed: passed, end: len(some.text)})
	}
}

// addAll prints rows.
func (p *rowPrinter) addAll(r io.ReaderAt, some *rows) error {
	start := 0
	for i := range some.rows {
		row := &some.rows[i]
		if err := p.next(r, row.Located); err != nil {
			p.flush()
			return err
		}
		p.judged(row.Located, row.valid, row.passed)
		p.print(some.text[start:row.end])
		start = row.end
	}
	p.flush()
	return p.v.out.OutErr()
}

// next records the next snapshot of the file. r has its bytes.
func (p *rowPrinter) next(r io.ReaderAt, l snapshot.Located) error {
	p.count++
	if p.v.in.Seekable {
		return p.stray.BeforeIn(r, l, p.v.in.Size)
	}
	p.stray.Before(l)
	return nil
}

// judged counts the snapshot that was recorded last.
func (p *rowPrinter) judged(l snapshot.Located, valid, passed bool) {
	if !passed {
		p.failed++
	}
	// Even if --strict fails it: extracting and pruning mean the same one.
	if valid {
		p.newest = p.count
	} else {
		p.wrong++
	}
	p.bar.Add(l.Size)
}

func (p *rowPrinter) add(ctx context.Context, r io.ReaderAt, report *snapshot.Report) error {
	if err := p.next(r, report.Located); err != nil {
		return err
	}
	judged := snapshot.Judgement{Report: report, Verdict: report.Verdict()}
	if p.v.AcceptEarlierAnchors {
		var err error
		if judged, err = p.v.judge.Accept(ctx, r, report, p.earlier); err != nil {
			return err
		}
		if report.Holding() {
			if err := p.v.judge.Add(p.earlier, report.Anchor.Hash); err != nil {
				return err
			}
		}
	}
	found := p.v.worthSaying(report.Findings)
	report.Index = p.count
	passed := p.v.passed(judged, found)
	p.judged(judged.Located, judged.Verdict == snapshot.Valid, passed)
	if err := p.v.report.add(ctx, p.v, r, judged, found, nil); err != nil {
		return err
	}
	if p.v.Failed && passed {
		return p.v.out.OutErr()
	}
	if p.v.out.JSON() {
		return p.json.Add(p.v.describe(judged, found))
	}
	p.print(newPaint(p.v.out.Out).appendRow(nil, judged, found, passed))
	p.flush()
	return p.v.out.OutErr()
}

// print prints the row of the snapshot that was recorded last, unless it is empty because
// there is nothing to print.
func (p *rowPrinter) print(row []byte) {
	if len(row) == 0 {
		return
	}
	if !p.headed {
		p.headed = true
		p.text = fmt.Appendf(p.text, rowFormat, "INDEX", "OFFSET", "SIZE", "TIME (UTC)", "ROOT", "VERDICT")
	}
	p.text = append(appendRight(p.text, p.count, indexWidth), row...)
}

// flush writes the rows that were printed.
func (p *rowPrinter) flush() {
	if len(p.text) > 0 {
		p.v.out.Print(p.text)
	}
	p.text = p.text[:0]
}

// paint writes rows of the table, with failing verdicts in red.
type paint map[snapshot.Verdict]string

func newPaint(w io.Writer) paint {
	p := paint{}
	for _, v := range []snapshot.Verdict{snapshot.Valid, snapshot.NoAnchor, snapshot.RootMismatch, snapshot.HashMismatch, snapshot.PegOutMismatch} {
		p[v] = terminal.Red(w, string(v))
	}
	return p
}

// appendRow appends the row of a snapshot as rowFormat has it, without its first column, and
// the findings below it.
func (p paint) appendRow(dst []byte, judged snapshot.Judgement, found []snapshot.Finding, passed bool) []byte {
	dst = appendRight(append(dst, gap...), judged.Offset, offsetWidth)
	dst = appendRight(append(dst, gap...), judged.Size, sizeWidth)
	dst = append(dst, gap...)
	start := len(dst)
	dst = snapshottool.AppendShortTime(dst, judged.TimestampMs)
	for len(dst) < start+timeWidth {
		dst = append(dst, ' ')
	}
	dst = append(append(dst, gap...), judged.Root[:rootDigits]...)
	dst = append(dst, gap...)
	if passed {
		dst = append(dst, judged.Verdict...)
	} else {
		dst = append(dst, p[judged.Verdict]...)
	}
	dst = append(dst, '\n')
	if kinds := kindsOf(found); len(kinds) > 0 {
		dst = fmt.Appendf(dst, "%*s  found: %s\n", indexWidth, "", strings.Join(kinds, ", "))
	}
	return dst
}

// appendRight appends a number that is not negative, in a column of the given width.
func appendRight(dst []byte, n int64, width int) []byte {
	for power := int64(10); width > 1; width-- {
		if n < power {
			dst = append(dst, ' ')
		}
		power *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}

// kindsOf returns the kinds of findings, each once if the findings of a kind are adjacent.
func kindsOf(found []snapshot.Finding) (kinds []string) {
	for _, f := range found {
		if kind := string(f.Kind); len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// fileDocument is the beginning of the JSON document.
type fileDocument struct {
	File string `json:"file"`
}

// summaryDocument is the end of the JSON document.
type summaryDocument struct {
	Count       int64               `json:"count"`
	Failed      int64               `json:"failed"`
	NewestValid int64               `json:"newest_valid"` // 0 if none
	Findings    []findingDocument   `json:"findings"`
	Errors      []cli.ErrorDocument `json:"errors,omitempty"`
	ExitCode    int                 `json:"exit_code"`
}

// finish prints what comes after the rows and returns the outcome.
func (p *rowPrinter) finish(ctx context.Context, outside []snapshot.Finding, err error) error {
	v := p.v
	if err == nil {
		err = v.report.addOutside(outside)
	}
	if err == nil {
		err = p.outcome(outside)
	}
	err = v.report.finish(ctx, v.out.Settle(v.explain(err)))
	if v.out.JSON() {
		if p.count == 0 {
			return err
		}
		doc := summaryDocument{Count: p.count, Failed: p.failed, NewestValid: p.newest,
			Findings: findingDocuments(outside), ExitCode: exit.Code(err)}
		if doc.ExitCode != exit.OK && doc.ExitCode != exit.Wrong {
			doc.Errors = cli.ErrorDocuments(err)
		}
		return errors.Join(err, p.json.End(doc))
	}
	if code := exit.Code(err); code != exit.OK && code != exit.Wrong {
		return err
	}
	if p.newest > 0 {
		v.out.Printf("Newest valid snapshot: %d of %d\n", p.newest, p.count)
	} else {
		v.out.Printf("Newest valid snapshot: none of %d\n", p.count)
	}
	for _, f := range outside {
		if v.Strict {
			v.out.Error("%s", f)
		} else {
			v.out.Warn("%s", f)
		}
	}
	if hides(outside) && err == nil && v.in.Seekable {
		v.out.Hint("%s", v.recoverHint()) // a torn line hides a complete snapshot
	}
	return err
}

// hides reports whether a snapshot is hidden, given the findings outside of all snapshots.
func hides(outside []snapshot.Finding) bool {
	return slices.ContainsFunc(outside, func(f snapshot.Finding) bool { return f.Kind == snapshot.HiddenSnapshot })
}

// outcome is the exit code of a run that came to its end, with the command to
// run next.
func (p *rowPrinter) outcome(outside []snapshot.Finding) error {
	v := p.v
	strict := v.Strict && len(outside) > 0
	switch {
	case p.failed == 0 && !strict:
		return nil
	case p.failed == 0 && hides(outside): // a torn line hides a complete snapshot, with --strict
		return exit.WrongData(v.recoverHint(), nil)
	case p.failed == 0: // FILE ends in an unfinished snapshot or line, with --strict
		return exit.WrongData(v.tidyHint(), nil)
	case !v.in.Seekable: // -: N of N snapshot(s) failed
		return exit.WrongData("write the input to a FILE, then extract from it: ailee_extract_snapshots --newest-valid FILE DIR", p.failure())
	case p.wrong == 0: // FILE: N of N snapshot(s) failed, with --strict alone
		return exit.WrongData("nodes accept these snapshots; see what was found in each: "+
			exit.Command(Name, "--all", "--strict", "--json", "--snapshot", v.Snapshot), p.failure())
	case p.newest > 0: // FILE: N of N snapshot(s) failed
		return exit.WrongData("extract the newest valid snapshot: "+
			exit.Command("ailee_extract_snapshots", "--newest-valid", v.Snapshot, "DIR"), p.failure())
	}
	return exit.WrongData("no snapshot is valid: see what can be recovered: "+ // FILE: N of N snapshot(s) failed, which are all
		exit.Command("ailee_recover_snapshots", "--dry-run", v.Snapshot, "OUT")+"; if nothing can, "+snapshottool.RestoreHint(v.Snapshot), p.failure())
}

// failure says how many snapshots did not pass.
func (p *rowPrinter) failure() error {
	return fmt.Errorf("%s: %d of %d snapshot(s) failed", p.v.Snapshot, p.failed, p.count)
}
