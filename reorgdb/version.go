package reorgdb

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// newerTables returns an error that names the first table file whose format is
// newer than this build reads, nil when there is none.
func newerTables(path string) error {
	tables, _ := filepath.Glob(filepath.Join(globEscape(path), "*.sst"))
	for _, name := range tables {
		if version := tableVersion(name); version > tableFormat {
			return &TooNewError{File: name, Format: version, Version: writerVersion(path)}
		}
	}
	return nil
}

const (
	tableMagic      = 0x88e241b785f4cff7 // of block-based tables
	tableFooterTail = 12                 // version (4) and magic number (8) close the file
)

// tableVersion returns a table file's format version, 0 when it cannot be told.
func tableVersion(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	info, err := f.Stat()
	tail := make([]byte, tableFooterTail)
	if err != nil {
		return 0
	}
	if _, err := f.ReadAt(tail, info.Size()-tableFooterTail); err != nil {
		return 0
	}
	if binary.LittleEndian.Uint64(tail[4:]) != tableMagic {
		return 0
	}
	return int(binary.LittleEndian.Uint32(tail))
}

// writerVersion returns the version of the RocksDB that last opened the database
// for writing, as the newest OPTIONS file has it, "" when there is none.
func writerVersion(path string) string {
	names, _ := filepath.Glob(filepath.Join(globEscape(path), "OPTIONS-*"))
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if version, ok := strings.CutPrefix(strings.TrimSpace(line), "rocksdb_version="); ok {
				return version
			}
		}
	}
	return ""
}

// globEscape makes a pattern that matches just the path.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
