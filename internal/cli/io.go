package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/ijson"
	"ailee-recovery/internal/workers"
)

// Streams are the streams of a command. Results go to Out, everything else to Err.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
	// Now is the clock, nil for the machine's. It timestamps what is made; it is not used to
	// measure anything.
	Now func() time.Time
}

// IO is how a command talks to its user.
type IO struct {
	Streams
	ctx         context.Context // of the run
	tool        string
	leaves      string // what an interrupted run leaves
	json, quiet bool
	lines       bool  // each JSON document is one line
	printed     bool  // a JSON document was printed
	outErr      error // the first error of writing to Out
	buffered    bool
	buffer      []byte // not yet written to Out
	journal     bool   // Err is the journal of systemd: lines begin with their priority
	priority    int    // of the last line, which a hint after it inherits
}

// bufferSize is how much output is gathered before it is written, in bytes.
const bufferSize = 64 << 10

// Buffer gathers what is printed on standard output, for commands that print many short
// rows. It is flushed before anything goes to standard error, and at the end.
func (out *IO) Buffer() { out.buffered = true }

// JSON reports whether the result is to be printed as JSON.
func (out *IO) JSON() bool { return out.json }

// Quiet reports whether only errors are to be printed.
func (out *IO) Quiet() bool { return out.quiet }

// Journal reports whether standard error is the systemd journal, for a tool that writes to it.
func (out *IO) Journal() bool { return out.journal }

// Now returns the timestamp for what is made.
func (out *IO) Now() time.Time {
	if out.Streams.Now != nil {
		return out.Streams.Now()
	}
	return time.Now()
}

// Printf prints a result on standard output, unless output is quiet or JSON.
func (out *IO) Printf(format string, args ...any) {
	if !out.quiet && !out.json {
		out.write(fmt.Appendf(nil, format, args...))
	}
}

// Print is [IO.Printf] of text as it is.
func (out *IO) Print(text []byte) {
	if !out.quiet && !out.json {
		out.write(text)
	}
}

// Document prints the result as JSON, also with --quiet. As in all documents, numbers beyond
// 2^53-1 are decimal strings: see the package ijson.
func (out *IO) Document(doc any) {
	out.printed = true
	text, err := ijson.MarshalIndent(doc, "", "  ")
	if out.lines {
		text, err = ijson.Marshal(doc)
	}
	if err != nil {
		out.outErr = err
		return
	}
	out.Raw(string(text) + "\n")
}

// Line prints one JSON document of a stream; the last document of the stream is printed
// with [IO.Document]. It returns the first error of writing to standard output.
func (out *IO) Line(doc any) error {
	text, err := ijson.Marshal(doc)
	if err != nil {
		return err
	}
	out.write(append(text, '\n'))
	return out.outErr
}

// Raw writes s to standard output unchanged; it counts as the JSON document.
func (out *IO) Raw(s string) {
	out.printed = true
	out.write([]byte(s))
}

func (out *IO) write(text []byte) {
	out.buffer = append(out.buffer, text...)
	if !out.buffered || len(out.buffer) >= bufferSize {
		out.flush()
	}
}

// flush writes the gathered output.
func (out *IO) flush() {
	if out.outErr == nil && len(out.buffer) > 0 {
		_, out.outErr = out.Out.Write(out.buffer)
	}
	out.buffer = out.buffer[:0]
}

// OutErr returns the first error of writing to standard output.
func (out *IO) OutErr() error { return out.outErr }

// Warn prints a warning on standard error, unless output is quiet.
func (out *IO) Warn(format string, args ...any) {
	if !out.quiet {
		out.line("warning", sprintf(format, args...))
	}
}

// Alarm prints a warning on standard error, even with --quiet. The priority is a syslog
// priority, for the journal; the hints after the warning have it too.
func (out *IO) Alarm(priority int, format string, args ...any) {
	out.say(priority, "warning", sprintf(format, args...))
}

// Hint prints a hint on standard error, unless output is quiet.
func (out *IO) Hint(format string, args ...any) {
	if !out.quiet {
		out.line("hint", fmt.Sprintf(format, args...))
	}
}

// Note prints what a run does unasked on standard error, unless output is quiet or JSON.
func (out *IO) Note(format string, args ...any) {
	if !out.quiet && !out.json {
		out.say(priorityInfo, "", sprintf(format, args...))
	}
}

// Error prints one of several errors on standard error.
func (out *IO) Error(format string, args ...any) { out.line("error", sprintf(format, args...)) }

// Interactive reports whether [IO.Ask] can reach a user: questions go to standard error,
// answers come from standard input.
func (out *IO) Interactive() bool {
	f, ok := out.Err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && out.In != nil && term.IsTerminal(int(out.In.Fd()))
}

// Ask asks a question and reports whether the answer is yes.
func (out *IO) Ask(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(out.Err, "%s [y/N] ", question)
	var line string
	answered := workers.Start(func() error {
		line, _ = bufio.NewReader(out.In).ReadString('\n')
		return nil
	})
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case err := <-answered:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes", err
	}
}

// line prints one line on standard error.
func (out *IO) line(kind, text string) {
	priority := priorityWarning
	if kind == "hint" {
		priority = cmp.Or(out.priority, priority)
	}
	out.say(priority, kind, text)
}

// Syslog priorities: the lower, the worse.
const (
	priorityWarning = 4
	priorityInfo    = 6
)

// say is line with a priority. Text from files is made printable even when standard error is
// not a terminal, since logs end up on one.
func (out *IO) say(priority int, kind, text string) {
	out.flush()
	out.priority = priority
	prefix := ""
	if out.journal {
		prefix = fmt.Sprintf("<%d>", priority)
	}
	if kind != "" {
		kind += ": "
	}
	fmt.Fprintf(out.Err, "%s%s: %s%s\n", prefix, out.tool, kind, terminal.Text(text))
}

// report prints the error on standard error, and as JSON if that was asked for and nothing
// was printed yet.
func (out *IO) report(err error) {
	if err == nil {
		return
	}
	var e *exit.Error
	if !errors.As(err, &e) {
		e = &exit.Error{Code: exit.Failed, Err: err}
	}
	if e.Err != nil {
		out.line("error", message(err))
	}
	if e.Hint != "" {
		out.line("hint", e.Hint)
	}
	out.trace(err)
	if out.json && !out.printed {
		out.Document(failureDocument{ErrorDocuments(err), e.Code})
	}
}

// failureDocument is the JSON document of a run without a result.
type failureDocument struct {
	Errors   []ErrorDocument `json:"errors"`
	ExitCode int             `json:"exit_code"`
}

// ErrorDocument is an error in a JSON document. All tools have it in the same form, in an
// array called errors.
type ErrorDocument struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do about it
}

// NewErrorDocument makes an ErrorDocument from text that may come from files.
func NewErrorDocument(message, hint string) ErrorDocument {
	return ErrorDocument{Message: terminal.Text(message), Hint: terminal.Text(hint)}
}

// ErrorDocuments returns the errors of a run that ended with err, none for nil.
func ErrorDocuments(err error) []ErrorDocument {
	if err == nil {
		return nil
	}
	hint := ""
	var e *exit.Error
	if errors.As(err, &e) {
		hint = e.Hint
	}
	return []ErrorDocument{NewErrorDocument(message(err), hint)}
}
