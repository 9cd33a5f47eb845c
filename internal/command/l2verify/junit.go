package l2verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
	"time"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// junit is a report as JUnit XML, for continuous integration. It is written while the
// snapshots are verified and keeps none of them in memory. It is nil if no report was
// requested.
type junit struct {
	Options
	out  *cli.IO
	file *durable.Pending
	buf  *bufio.Writer
	xml  *xml.Encoder

	start, last time.Time // of the run, and of the latest test when it was added
	counts      junitCounts
	room        int // bytes at the start of the file, kept for the opening
	done        bool
}

// junitCounts are at the start of a report, but are known only at its end.
type junitCounts struct {
	tests, failures, errors int64
	time                    time.Duration
}

// junitOpening begins every report.
const junitOpening = xml.Header + `<testsuites name="` + Name + `"`

// openJUnit starts the report that the options ask for.
func openJUnit(o Options, out *cli.IO) (*junit, error) {
	if o.JUnit == "" {
		return nil, nil
	}
	if err := checkReplaceable(o.JUnit); err != nil {
		return nil, err
	}
	if err := durable.BecomeUserOf(&o.JUnit); err != nil {
		return nil, notWritten(o.JUnit, err)
	}
	f, err := durable.Create(o.JUnit, 0o644)
	if errors.Is(err, durable.ErrBusy) {
		return nil, exit.Fail(durable.Hint(err), err)
	}
	if err != nil {
		return nil, notWritten(o.JUnit, err)
	}
	now := time.Now()
	j := &junit{Options: o, out: out, file: f, buf: bufio.NewWriterSize(f, 64<<10), start: now, last: now}
	// Wrapped in another type, since the encoder would flush a buffer of ours after each
	// element.
	j.xml = xml.NewEncoder(struct{ io.Writer }{j.buf})
	j.xml.Indent("    ", "  ")
	j.room = len(j.opening(junitCounts{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64}))
	fmt.Fprintf(j.buf, "%*s\n", j.room, "")
	return j, nil
}

// checkReplaceable refuses to replace anything but an earlier report: a slip must not
// cost the snapshot file.
func checkReplaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	begin := make([]byte, len(junitOpening))
	if err == nil && info.Mode().IsRegular() {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			_, _ = io.ReadFull(f, begin)
			err = f.Close()
		}
	}
	if err != nil {
		return notWritten(path, err)
	}
	if !bytes.Equal(begin, []byte(junitOpening)) {
		return exit.Failf("name another file: only an earlier report is replaced", "%s already exists", path)
	}
	return nil
}

func notWritten(path string, err error) error {
	hint := durable.Hint(err)
	if hint == "" {
		hint = "name a file in a folder that can be written to, on a disk that is not full"
	}
	return exit.Fail(hint, fmt.Errorf("no report in %s: %w", path, err))
}

// opening is the start of the report.
func (j *junit) opening(c junitCounts) string {
	var b strings.Builder
	counts := fmt.Sprintf(`tests="%d" failures="%d" errors="%d" time="%.3f"`, c.tests, c.failures, c.errors, c.time.Seconds())
	b.WriteString(junitOpening + " " + counts + ">\n" + `  <testsuite name="`)
	_ = xml.EscapeText(&b, []byte(terminal.Text(j.Snapshot)))
	b.WriteString(`" ` + counts + ">")
	return b.String()
}

// testCase is one test.
type testCase struct {
	XMLName   xml.Name   `xml:"testcase"`
	Class     string     `xml:"classname,attr"`
	Name      string     `xml:"name,attr"`
	File      string     `xml:"file,attr"`
	Time      string     `xml:"time,attr"` // seconds
	Failure   *junitFail `xml:"failure"`
	Error     *junitFail `xml:"error"`
	SystemOut *junitText `xml:"system-out"`
	SystemErr *junitText `xml:"system-err"`
}

type junitFail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",cdata"`
}

type junitText struct {
	Text string `xml:",cdata"`
}

// junitLines are the lines of a test, up to a number that is still readable.
type junitLines struct {
	first string
	text  strings.Builder
	more  int
}

const (
	maxJUnitMessage = 1 << 10
	maxJUnitText    = 64 << 10
)

// add adds a line, made printable: XML has no way to write most control characters.
func (l *junitLines) add(line string) {
	line = terminal.Text(line)
	if l.first == "" {
		l.first = strings.ToValidUTF8(line[:min(len(line), maxJUnitMessage)], "")
	}
	if l.text.Len()+len(line) > maxJUnitText {
		l.more++
		return
	}
	l.text.WriteString(line + "\n")
}

func (l *junitLines) String() string {
	if l.more > 0 {
		return fmt.Sprintf("%s%d more line(s)\n", l.text.String(), l.more)
	}
	return l.text.String()
}

func (l *junitLines) element() *junitText {
	if l.first == "" {
		return nil
	}
	return &junitText{l.String()}
}

// add adds a snapshot. Its time is the time since the previous one, so that all of them
// add up to the time of the run.
func (j *junit) add(ctx context.Context, v *verifier, r io.ReaderAt, judged snapshot.Judgement, found []snapshot.Finding, proof *proof) error {
	if j == nil {
		return nil
	}
	var out, warnings, wrong junitLines
	out.add(fmt.Sprintf("%d bytes at byte %d, %s", judged.Size, judged.Offset, snapshottool.Time(judged.TimestampMs)))
	failed := !v.passed(judged, found) || proof.failed()
	if err := v.say(ctx, r, judged, failed, out.add, wrong.add); err != nil {
		return err
	}
	j.addFindings(found, &warnings, &wrong)
	kind := string(judged.Verdict)
	switch {
	case judged.Verdict != snapshot.Valid:
	case proof.failed():
		kind = "not proven"
		wrong.add(proof.problem)
	case failed:
		kind = string(found[0].Kind)
	case proof != nil:
		out.add(proof.String())
	}
	name := "latest snapshot"
	if j.All {
		name = fmt.Sprintf("snapshot %d at byte %d", judged.Index, judged.Offset)
	}
	c := testCase{Name: name, SystemOut: out.element(), SystemErr: warnings.element()}
	if failed {
		c.Failure = &junitFail{wrong.first, kind, wrong.String()}
	}
	return j.write(c)
}

// addFindings adds findings to the lines to which they belong.
func (j *junit) addFindings(found []snapshot.Finding, warnings, wrong *junitLines) {
	for _, f := range found {
		if j.Strict {
			wrong.add(f.String())
		} else {
			warnings.add(f.String())
		}
	}
}

// addOutside adds the findings between and after the snapshots, if there are any.
func (j *junit) addOutside(found []snapshot.Finding) error {
	if j == nil || len(found) == 0 {
		return nil
	}
	var warnings, wrong junitLines
	j.addFindings(found, &warnings, &wrong)
	c := testCase{Name: "outside of the snapshots", SystemErr: warnings.element()}
	if j.Strict {
		c.Failure = &junitFail{wrong.first, string(found[0].Kind), wrong.String()}
	}
	return j.write(c)
}

func (j *junit) write(c testCase) error {
	now := time.Now()
	c.Class, c.File, c.Time = Name, terminal.Text(j.Snapshot), fmt.Sprintf("%.3f", now.Sub(j.last).Seconds())
	j.last = now
	j.counts.tests++
	if c.Failure != nil {
		j.counts.failures++
	}
	if c.Error != nil {
		j.counts.errors++
	}
	if err := j.xml.Encode(c); err != nil {
		return notWritten(j.JUnit, err)
	}
	return nil
}

// finish puts the report in its place, once. It takes the error of the run and returns
// it, or the reason why there is no report. An interrupted run leaves no report.
func (j *junit) finish(ctx context.Context, err error) error {
	if j == nil || j.done {
		return err
	}
	j.done = true
	defer j.abort()
	if ctx.Err() != nil {
		return err
	}
	failed := j.commit(err)
	switch {
	case failed == nil:
		return err
	case err == nil:
		return notWritten(j.JUnit, failed)
	}
	j.out.Warn("no report in %s: %v", j.JUnit, failed)
	return err
}

func (j *junit) commit(err error) error {
	if err != nil && exit.Code(err) == exit.Failed {
		if err := j.write(testCase{Name: "reading the file", Error: junitError(err)}); err != nil {
			return err
		}
	}
	if _, err := j.buf.WriteString("\n  </testsuite>\n</testsuites>\n"); err != nil {
		return err
	}
	if err := j.buf.Flush(); err != nil {
		return err
	}
	j.counts.time = j.last.Sub(j.start)
	opening := strings.TrimSuffix(j.opening(j.counts), ">")
	if _, err := j.file.WriteAt([]byte(fmt.Sprintf("%-*s>", j.room-1, opening)), 0); err != nil {
		return err
	}
	if err := j.keepAttributes(); err != nil {
		return err
	}
	return j.file.Commit(true)
}

// junitError is the element of an error. An error without a message has already been
// reported in the nodes' words.
func junitError(err error) *junitFail {
	var lines junitLines
	var e *exit.Error
	if errors.As(err, &e) && e.Err == nil {
		lines.add(snapshot.ErrNoSnapshot.Error())
	} else {
		lines.add(err.Error())
	}
	if e != nil && e.Hint != "" {
		lines.add("hint: " + e.Hint)
	}
	return &junitFail{lines.first, "error", lines.String()}
}

// abort removes a report that is not finished, for example after a panic.
func (j *junit) abort() {
	if j != nil {
		j.file.Abort()
	}
}

// keepAttributes gives the report the attributes of the report that it replaces, as far
// as the user may: the folder decides who may replace it.
func (j *junit) keepAttributes() error {
	old, err := os.Open(j.JUnit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	err = durable.KeepAttributes(j.file.File, old)
	if errors.Is(err, durable.ErrOwner) || errors.Is(err, durable.ErrAttributes) {
		j.out.Warn("%s: %s", j.JUnit, err)
		return nil
	}
	return err
}
