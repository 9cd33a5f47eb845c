// Package multicall is the program ailee: every command in one binary, so that the code they
// share is installed once. Called by the name of a command, as through a link, it is that
// command; called as ailee, it is the command that its first argument names.
package multicall

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ailee-recovery/internal/cli"
)

// Name is the program's name.
const Name = "ailee"

// Main runs the program as this process. Only a main function may call it.
func Main() {
	if len(os.Args) == 0 { // older kernels allow an empty argv
		os.Args = []string{Name}
	}
	t, args := Called(os.Args)
	if filepath.Base(os.Args[0]) != t.Name {
		// The name of this process in ps and in the messages of other commands.
		_ = os.WriteFile("/proc/self/comm", []byte(t.Name), 0)
	}
	os.Args = args
	cli.Main(t)
}

// Called returns the tool that a command line calls, a command or [Tool], and the tool's own
// command line, which begins with its name.
func Called(args []string) (cli.Tool, []string) {
	name, rest := filepath.Base(args[0]), args[1:]
	if isCommand(name) {
		t, _ := find(name)
		return t, append([]string{name}, rest...)
	}
	if len(rest) > 0 && rest[0] == "help" {
		rest = slices.Concat(rest[1:min(len(rest), 2)], []string{"--help"})
	}
	if len(rest) > 0 {
		if t, ok := find(rest[0]); ok {
			return t, append([]string{t.Name}, rest[1:]...)
		}
	}
	// The program ignores what follows a word that is not a command, except for --json, which
	// says how the error is printed.
	for i := 0; i < len(rest) && rest[i] != "--"; i++ {
		if rest[i] == "--"+linksFlag {
			i++
		} else if !strings.HasPrefix(rest[i], "-") {
			flags, words := slices.Clone(rest[:i]), rest[i:]
			if slices.Contains(words, "--json") {
				flags = append(flags, "--json")
			}
			rest = slices.Concat(flags, []string{"--"}, words)
			break
		}
	}
	return Tool(), append([]string{Name}, rest...)
}
