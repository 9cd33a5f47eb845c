package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"ailee-recovery/snapshot"
)

// The files of the rows that verify, and their shapes.
const (
	tinyFile           = "tiny.dat"
	smallFile          = "small.dat"
	smallShuffledFile  = "small-shuffled.dat"
	mediumShuffledFile = "medium-shuffled.dat"
	largeShuffledFile  = "large-shuffled.dat"
	smallestFile       = "smallest.dat"

	verifiedBytes = 256 * mib
	tinySize      = 2 << 10
	smallSize     = 2300
	mediumSize    = 70 << 10
	largeSize     = 1 * mib
	// smallestCount is how many of the smallest possible snapshots are verified.
	smallestCount = 10_000_000

	// digest256 is what verifying is compared with: the same hash of the same bytes.
	digest256 = "openssl dgst -sha256 "
)

// verifyRows returns the rows that verify files of snapshots of all sizes.
func verifyRows(dir, bin string) []work {
	row := func(what, file string, ratio float64) work {
		path := filepath.Join(dir, file)
		return work{name: "`--all` on 256 MiB of snapshots of " + what + ", against `openssl dgst -sha256`",
			ours: bin + "/ailee_l2_verify --all --snapshot " + path + toNull, reference: digest256 + path, ratio: ratio}
	}
	tiny, smallest := filepath.Join(dir, tinyFile), filepath.Join(dir, smallestFile)
	return []work{
		row("2.3 KiB", smallFile, 1.6),
		row("2.3 KiB, their sections out of order", smallShuffledFile, 3),
		row("70 KiB, their sections out of order", mediumShuffledFile, 1.8),
		row("1 MiB, their sections out of order", largeShuffledFile, 1.8),
		{name: "`--all` on 10,000,000 snapshots in 250 MB, the smallest there can be, against `openssl dgst -sha256`",
			ours:      bin + "/ailee_l2_verify --all --snapshot " + smallest + " > /dev/null || test $? = 2" + toNull,
			reference: digest256 + smallest, limit: 15 * time.Second, most: largeRuns},
		{name: "start: verify a file of 2 KiB, against `sha256sum`",
			ours:      bin + "/ailee_l2_verify --snapshot " + tiny,
			reference: "sha256sum " + tiny, ratio: 3, rounds: startRounds},
	}
}

// writeSmallest writes the smallest possible snapshots: none has an anchor.
func writeSmallest(path string) error {
	return writeFile(path, func(w io.Writer) error {
		some := strings.Repeat(snapshot.HeaderLine+"\n"+snapshot.EndLine+"\n", 1000)
		for range smallestCount / 1000 {
			if _, err := io.WriteString(w, some); err != nil {
				return err
			}
		}
		return nil
	})
}

// printLimit measures how much faster all cores hash than one: those of a virtual machine
// may be threads that share a smaller number of cores. No figure can be better than that,
// even if nothing but the hash took time.
func printLimit(dir string, repeat int) error {
	if err := makeData(dir, "", []string{smallFile}); err != nil {
		return err
	}
	cores := runtime.NumCPU()
	hash := work{ours: digest256 + filepath.Join(dir, smallFile)}
	var one, all []time.Duration
	for range repeat + 1 {
		for _, n := range []int{1, cores} {
			start := time.Now()
			errs := make([]error, n)
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() { _, errs[i] = once(hash, sides[0], "") })
			}
			group.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if n == 1 {
				one = append(one, time.Since(start))
			} else {
				all = append(all, time.Since(start))
			}
		}
	}
	// The first run of each fills the page cache.
	slower := float64(median(all[1:])) / float64(median(one[1:]))
	fmt.Printf("\n%d `openssl dgst -sha256` at once take %.2f times as long as one: hashing alone, on all cores, would take %.2f of it.\n",
		cores, slower, slower/float64(cores))
	return nil
}
