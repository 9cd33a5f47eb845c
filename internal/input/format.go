package input

import (
	"bytes"
	"fmt"

	"ailee-recovery/internal/exit"
)

// Format is a compression format.
type Format struct {
	Name   string
	unpack []string // the command that unpacks it, from standard input to standard output
	magic  string   // the first bytes
}

// Names of the formats that tools read.
const (
	Gzip = "gzip"
	Zstd = "zstd"
)

var formats = []Format{
	{Gzip, []string{"gzip", "-dc"}, "\x1f\x8b"},
	{Zstd, []string{"zstd", "-dc"}, "\x28\xb5\x2f\xfd"},
	{"xz", []string{"xz", "-dc"}, "\xfd7zXZ\x00"},
	{"bzip2", []string{"bzip2", "-dc"}, "BZh"},
	{"lz4", []string{"lz4", "-dc"}, "\x04\x22\x4d\x18"},
	{"zip", []string{"funzip"}, "PK\x03\x04"},
}

// FormatLen is how many bytes at its start identify the format of a file.
const FormatLen = 6

// FormatOf identifies the format of a file by its first bytes. It is nil if the file is not
// compressed.
func FormatOf(start []byte) *Format {
	for i := range formats {
		if bytes.HasPrefix(start, []byte(formats[i].magic)) {
			return &formats[i]
		}
	}
	return nil
}

// FormatNamed returns the format of that name, or nil if it is not a known one.
func FormatNamed(name string) *Format {
	for i := range formats {
		if formats[i].Name == name {
			return &formats[i]
		}
	}
	return nil
}

// Readable reports whether tools read files in this format.
func (f *Format) Readable() bool { return f.Name == Gzip || f.Name == Zstd }

// Unpack returns the command that unpacks a file in this format, from standard input to
// standard output.
func (f *Format) Unpack() string { return exit.Command(f.unpack...) }

// The functions below identify other kinds of files by their first [StartLen] bytes.

// IsTar reports whether a file is a tar archive. A snapshot file is not, even if one of its records
// has the magic of tar at the same offset.
func IsTar(start []byte) bool {
	return len(start) >= tarMagicAt && bytes.HasPrefix(start[tarMagicAt:], []byte("ustar")) && !bytes.HasPrefix(start, []byte("SNAPSHOT v1\n"))
}

// tarMagicAt is the offset of the magic of a tar archive.
const tarMagicAt = 257

// IsUTF16 reports whether a file, such as a snapshot file, was saved as UTF-16.
func IsUTF16(start []byte) bool {
	for _, begin := range []string{"\xff\xfe", "\xfe\xff", "S\x00N\x00A\x00P\x00", "\x00S\x00N\x00A\x00P"} {
		if bytes.HasPrefix(start, []byte(begin)) {
			return true
		}
	}
	return false
}

// IsJSON reports whether a file looks like JSON, valid or not.
func IsJSON(start []byte) bool {
	start = bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\ufeff")), " \t\r\n")
	return len(start) > 0 && (start[0] == '{' || start[0] == '[')
}

// StartLen is how many bytes at its start identify the kind of a file.
const StartLen = 512

// UnpackHint says how to unpack a file in this format.
func (f *Format) UnpackHint(name string) string {
	return "unpack it first: " + f.Unpack() + " < " + exit.Command(name) + " > UNPACKED"
}

// FormatError says that a file is compressed in a format that is not supported.
type FormatError struct {
	Format *Format
	Err    error // what the file therefore is not, if known
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("compressed with %s, which is not supported", e.Format.Name)
}

func (e *FormatError) Unwrap() error { return e.Err }

// MaxWindow is how much memory a file may ask for to be unpacked, in bytes. It is the limit of
// zstd itself, and more than zstd uses without --ultra or --long.
const MaxWindow = 128 << 20

// A MemoryError says that unpacking a file takes more than [MaxWindow]. Nothing is known about its
// content.
type MemoryError struct{}

func (*MemoryError) Error() string {
	return fmt.Sprintf("unpacking it takes more than %d bytes of memory", MaxWindow)
}

// Hint says how the file can be unpacked all the same.
func (*MemoryError) Hint() string { return "unpack it first: zstd -dc --long=31 < FILE > UNPACKED" }
