package faults

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// points counts the points that were tried, by scenario, way and call.
var points = struct {
	sync.Mutex
	of map[[3]string]int
}{of: map[[3]string]int{}}

func count(scenario, way, call string) {
	points.Lock()
	defer points.Unlock()
	points.of[[3]string{scenario, way, call}]++
}

// existing counts all points, if only a sample of them was tried.
var existing = map[[2]string]int{}

func countExisting(scenario, way string, n int) {
	points.Lock()
	defer points.Unlock()
	existing[[2]string{scenario, way}] += n
}

// printTables prints how many points were tried, by scenario and by call.
func printTables(to io.Writer) {
	for row, title := range map[int]string{0: "command", 2: "call"} {
		cells, columns := map[string]map[string]int{}, map[string]bool{}
		for key, n := range points.of {
			columns[key[1]] = true
			for _, name := range []string{key[row], "all"} {
				if cells[name] == nil {
					cells[name] = map[string]int{}
				}
				cells[name][key[1]] += n
			}
		}
		if len(cells) == 0 {
			return
		}
		names := slices.Sorted(maps.Keys(columns))
		fmt.Fprintf(to, "\n| %s | %s |\n|%s\n", title, strings.Join(names, " | "), strings.Repeat(" --- |", 1+len(names)))
		for _, name := range slices.Sorted(maps.Keys(cells)) {
			fmt.Fprintf(to, "| %s |", name)
			for _, column := range names {
				fmt.Fprintf(to, " %d", cells[name][column])
				if n := existing[[2]string{name, column}]; n > 0 {
					fmt.Fprintf(to, " of %d", n)
				}
				fmt.Fprint(to, " |")
			}
			fmt.Fprintln(to)
		}
	}
}
