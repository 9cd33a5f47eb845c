// Command summary reads the output of go test -json. It shows how each package ended and the
// output of failed tests, and at the end how many tests there were and why some were skipped. It
// fails if a test or package fails, and if there are none.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	passed, err := summarize(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary: error:", err)
	}
	if !passed {
		os.Exit(1)
	}
}

// event is a line of go test -json: go doc test2json, go help buildjson.
type event struct{ Action, Package, Test, Output string }

type summary struct {
	packages, broken int            // all, and those that failed
	passed, failed   int            // tests
	skipped          map[string]int // by reason
	// said has the output of tests that have not ended, by package and name. The output of a
	// package is that of a test without a name.
	said map[[2]string][]string
	out  io.Writer
}

// summarize reports whether everything passed.
func summarize(in io.Reader, out io.Writer) (bool, error) {
	s := summary{skipped: map[string]int{}, said: map[[2]string][]string{}, out: out}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if json.Unmarshal([]byte(line), &e) == nil {
			s.take(e)
		} else {
			fmt.Fprint(out, line) // output of a program that go test runs
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	fmt.Fprintf(out, "\n%d tests passed, %d failed\n", s.passed, s.failed)
	for _, reason := range slices.Sorted(maps.Keys(s.skipped)) {
		fmt.Fprintf(out, "%d skipped: %s\n", s.skipped[reason], reason)
	}
	return s.packages > 0 && s.broken == 0, nil
}

func (s *summary) take(e event) {
	at := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
		return
	case "output":
		s.said[at] = append(s.said[at], e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	said := s.said[at]
	delete(s.said, at)
	if e.Test != "" {
		s.testEnds(e.Action, said)
	} else {
		s.packageEnds(e.Action, e.Package, said)
	}
}

func (s *summary) testEnds(action string, said []string) {
	switch action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped[reason(said)]++
	case "fail":
		s.failed++
		fmt.Fprint(s.out, strings.Join(said, ""))
	}
}

func (s *summary) packageEnds(action, name string, said []string) {
	s.packages++
	switch {
	case action == "fail":
		s.broken++
		// A process that dies leaves tests without an end.
		for test, unfinished := range s.said {
			if test[0] == name {
				fmt.Fprint(s.out, strings.Join(unfinished, ""))
				delete(s.said, test)
			}
		}
		fmt.Fprint(s.out, strings.Join(said, ""))
	case action == "pass" && len(said) > 0:
		fmt.Fprint(s.out, said[len(said)-1]) // ok, and the time that it took
	}
}

var logged = regexp.MustCompile(`^\s+\S+\.go:[0-9]+: (.+)\n`)

// reason returns the last line that a test logged before it was skipped.
func reason(said []string) string {
	for _, line := range slices.Backward(said) {
		if m := logged.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return "without a reason"
}
