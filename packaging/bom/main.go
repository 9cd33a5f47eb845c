// Command bom says what is linked into static binaries, and under which licenses:
//
//	bom sbom BINARY...      the bill of materials, CycloneDX JSON
//	bom licenses BINARY...  docs/licenses.md
//	bom texts BINARY...     the license texts, which go with the binaries
//
// It prints the result on standard output. The result depends only on the binaries, the Debian
// packages that they were linked with, and VERSION and SOURCE_DATE_EPOCH.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

var commands = map[string]func(io.Writer, *materials) error{
	"sbom":     writeSBOM,
	"licenses": writeLicenses,
	"texts":    writeTexts,
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bom: error:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	if len(args) < 2 || commands[args[0]] == nil {
		return fmt.Errorf("usage: bom sbom, licenses or texts, then the binaries")
	}
	all, err := collect(args[1:])
	if err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	if err := commands[args[0]](out, all); err != nil {
		return err
	}
	return out.Flush()
}
