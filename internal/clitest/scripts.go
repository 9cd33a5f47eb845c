package clitest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/golden"
)

// Commands are the commands that scripts can run in addition to those of testscript, by name.
type Commands map[string]func(ts *testscript.TestScript, neg bool, args []string)

// Scripts runs the scripts of testdata, which assert exit codes, both streams, and that nothing
// is left behind. more has their commands that are not in this package.
func Scripts(t *testing.T, more Commands) {
	commands := Commands{
		"status":   status,
		"fifo":     fifo,
		"bytes":    writeBytes,
		"concat":   concat,
		"only":     only,
		"same":     sameFile,
		"truncate": truncate,
		"damage":   damageFile,
		"readonly": readonly,
		"mount":    mount,
		"database": database,
		"anchored": anchored,
		"chain":    chain,
		"reorg":    reorganise,
		"requests": requests,
	}
	maps.Copy(commands, more)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOLDEN", golden.Dir())
			env.Setenv("NL", "a\nb")
			for _, name := range []string{DocumentsDir, "GORACE"} {
				env.Setenv(name, os.Getenv(name))
			}
			env.Values[chainKey{}] = new(*bitcointest.Chain)
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, ".tmp"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			if name == "mount" {
				return CanMount(t), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: commands,
	})
}

// status N COMMAND ... runs a command and asserts its exit code: testscript itself only
// distinguishes success from failure.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		text := err.Error()
		code, ok := strings.CutPrefix(text, "exit status ")
		if got, err = strconv.Atoi(code); !ok || err != nil {
			ts.Fatalf("%s: %s", args[1], text)
		}
	}
	if got != want {
		ts.Fatalf("%s: exit status %d, want %d\nstdout: %s\nstderr: %s", args[1], got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// concat OUT FILE ... concatenates files.
func concat(ts *testscript.TestScript, _ bool, args []string) {
	var all []byte
	for _, name := range args[1:] {
		all = append(all, ts.ReadFile(name)...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), all, 0o644))
}

// bytes OUT TEXT [TIMES] appends TEXT, in which \n is a newline, TIMES times or once.
func writeBytes(ts *testscript.TestScript, _ bool, args []string) {
	text, times := strings.ReplaceAll(args[1], `\n`, "\n"), 1
	if len(args) > 2 {
		var err error
		times, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	ts.Check(err)
	_, err = f.WriteString(strings.Repeat(text, times))
	ts.Check(err)
	ts.Check(f.Close())
}

// only DIR NAME ... asserts that the folder contains exactly these files.
func only(ts *testscript.TestScript, _ bool, args []string) {
	var got []string
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err == nil && path != ts.MkAbs(args[0]) {
			rel, _ := filepath.Rel(ts.MkAbs(args[0]), path)
			got = append(got, rel)
		}
		return err
	}))
	if strings.Join(got, " ") != strings.Join(args[1:], " ") {
		ts.Fatalf("%s holds %q, want %q", args[0], got, args[1:])
	}
}

// same A B asserts that A and B are the same file, by inode.
func sameFile(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if os.SameFile(a, b) == neg {
		ts.Fatalf("%s and %s: same file is %v", args[0], args[1], !neg)
	}
}

// truncate FILE N cuts N bytes off the end.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-n))
}

// damage PATTERN OFFSET flips a bit in the file that matches the pattern.
func damageFile(ts *testscript.TestScript, _ bool, args []string) {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%s does not match exactly one file: %q", args[0], names)
	}
	at, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	ts.Check(err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	ts.Check(err)
	_, err = f.WriteAt([]byte{b[0] ^ 1}, at)
	ts.Check(err)
	ts.Check(f.Close())
}

// database NAME DIR unpacks a golden database.
func database(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	ts.Check(golden.Unpack(args[0], filepath.Dir(dir)))
	ts.Check(os.Rename(filepath.Join(filepath.Dir(dir), args[0]), dir))
}

// anchored FILE TIME METADATA appends a valid snapshot with that time in Unix milliseconds, and
// sets ANCHOR and ROOT.
func anchored(ts *testscript.TestScript, _ bool, args []string) {
	ms, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	anchor, err := AppendAnchored(ts.MkAbs(args[0]), ms, args[2])
	ts.Check(err)
	ts.Setenv("ANCHOR", anchor.Hash)
	ts.Setenv("ROOT", anchor.L2StateRoot)
}
