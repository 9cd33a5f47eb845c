package clitest

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// appender writes as a node does, and is run as a separate process: appender FILE FIRST COUNT
// [PAUSE] appends COUNT snapshots, whose times are numbers starting at FIRST. For each it opens
// the file for appending, writes in several pieces as a C++ stream does, and closes it.
func appender() {
	first, _ := strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[3])
	pause := time.Duration(0)
	if len(os.Args) > 4 {
		pause, _ = time.ParseDuration(os.Args[4])
	}
	for i := first; i < first+count; i++ {
		if err := AppendOne(os.Args[1], i); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		time.Sleep(pause)
	}
}

// AppendOne appends the snapshot with that number as a node does.
func AppendOne(path string, number int) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	text := Numbered(number)
	for len(text) > 0 {
		n := min(len(text), 700)
		if _, err := f.WriteString(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return f.Close()
}
