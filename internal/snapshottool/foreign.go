package snapshottool

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/input"
	"ailee-recovery/snapshot"
)

// Foreign says that a file which should be a snapshot file is something else.
type Foreign struct {
	Name string // of the file
	What string // such as "compressed with gzip"
	Hint string // with the commands that make it readable
}

func (f *Foreign) Error() string { return f.Name + " is not a snapshot file: it is " + f.What }

// Reader is a command that reads a snapshot file.
type Reader struct {
	// Command reads the snapshots from standard input; nil if the command needs a file.
	Command []string
	// Reads are the names of the other forms that it reads, alone or one inside another.
	Reads []string
}

// Names of forms other than those of [input.FormatOf].
const (
	Tar  = "tar"
	JSON = "JSON"
)

// Unless returns err, unless it says that there is no snapshot and the file is something
// else. In that case the error says what it is.
func (r Reader) Unless(err error, in *input.Input) error {
	if !errors.Is(err, snapshot.ErrNoSnapshot) {
		return err
	}
	if f := r.Foreign(in); f != nil {
		return exit.Fail(f.Hint, f)
	}
	return err
}

// Foreign returns what a file is instead of a snapshot file, judging by its beginning, or nil
// if it may be one. Nodes read any snapshots in it all the same: they may have been appended.
func (r Reader) Foreign(in *input.Input) *Foreign {
	start, err := in.Start()
	if err != nil || bytes.HasPrefix(start, []byte("SNAPSHOT")) {
		return nil
	}
	content := io.Reader(bytes.NewReader(start))
	if in.Seekable {
		content = in.Section()
	}
	l := layers{file: exit.Command(in.Name)}
	if in.Name == input.Stdin {
		l.file = "FILE"
	}
	l.take(start, content)
	if !slices.ContainsFunc(l.forms, func(form string) bool { return !slices.Contains(r.Reads, form) }) {
		return nil
	}
	f := &Foreign{Name: in.Name, What: strings.Join(l.what, " "), Hint: r.hint(&l)}
	if in.Name == input.Stdin {
		f.Name = "standard input"
	}
	return f
}

// hint says how the content of the layers can be read.
func (r Reader) hint(l *layers) string {
	switch {
	case l.several: // FILE is an archive of several files
		return "see what is in it: " + l.pipeline("tar -t")
	case l.json() && !slices.Contains(r.Reads, JSON): // FILE is a state in JSON
		return "make a snapshot file of it, with an anchor of its own: " +
			l.pipeline(exit.Command("ailee_create_anchor", "--l2-state-file", "-", "--output", "SNAPSHOTS"))
	case r.Command == nil: // FILE is compressed, or an archive, and the command reads no pipe
		return "unpack it first: " + l.pipeline() + " > UNPACKED"
	}
	return "unpack it on the way: " + l.pipeline(exit.Command(r.Command...)) // FILE is compressed, or an archive
}

// layers are the forms around a snapshot file, starting with the outermost.
type layers struct {
	file     string   // for a shell
	forms    []string // their names
	what     []string // what they are, the outermost last
	commands []string // that unpack them, from standard input to standard output
	several  bool     // it is a tar archive, and not of a single file at its beginning
}

// json reports whether the content is JSON, not a snapshot file.
func (l *layers) json() bool { return slices.Contains(l.forms, JSON) }

// pipeline returns the commands on the file, followed by others.
func (l *layers) pipeline(more ...string) string {
	commands := append(l.commands[:len(l.commands):len(l.commands)], more...)
	commands[0] += " < " + l.file
	return strings.Join(commands, " | ")
}

// take finds the layers of content, which begins with start. Of a pipe there is no more
// than that, and only the outermost layer is found.
func (l *layers) take(start []byte, content io.Reader) {
	format := input.FormatOf(start)
	switch {
	case format != nil && len(l.commands) == 0:
		l.forms = append(l.forms, format.Name)
		l.commands = append(l.commands, format.Unpack())
		inside, close := unpacked(format, content)
		defer close()
		in := bufio.NewReaderSize(inside, input.StartLen)
		start, _ := in.Peek(input.StartLen)
		l.take(start, in)
		l.what = append(l.what, "compressed with "+format.Name)
	case input.IsTar(start):
		l.forms = append(l.forms, Tar)
		l.what = append(l.what, "a tar archive")
		head, err := tar.NewReader(content).Next()
		if l.several = err != nil || head.Typeflag != tar.TypeReg; !l.several {
			l.commands = append(l.commands, exit.Command("tar", "-xOf", "-", "--", head.Name))
		}
	case input.IsUTF16(start):
		l.forms = append(l.forms, "UTF-16")
		l.what = append(l.what, "text in UTF-16")
		l.commands = append(l.commands, "iconv -f UTF-16 -t UTF-8")
	case input.IsJSON(start):
		l.forms = append(l.forms, JSON)
		l.what = append(l.what, "JSON")
	}
}

// unpacked returns the content of a compressed file, or nothing for a format that is not read
// here. Only its beginning is needed: so this is the gzip that HTTP links anyway, since a second
// one takes a tenth of a millisecond at each start.
func unpacked(format *input.Format, content io.Reader) (inside io.Reader, close func()) {
	var err error
	switch format.Name {
	case input.Gzip:
		inside, err = gzip.NewReader(content)
	case input.Zstd:
		var d *zstd.Decoder
		if d, err = zstd.NewReader(content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(input.MaxWindow)); err == nil {
			return d, d.Close
		}
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return bytes.NewReader(nil), func() {}
	}
	return inside, func() {}
}
