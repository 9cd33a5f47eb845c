package test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/golden"
)

// maxExponent bounds how fast the cost of a command may grow: the cost is proportional to the
// size to the power of the exponent. Sorting n records, in n log n, stays below it.
const maxExponent = 1.1

// The cost of a command differs between runs, by up to a fifth of the cost of starting and by
// resolution at least. A cost below that counts as that much, so that growth which can be felt
// at the largest size is still noticed.
const (
	resolution     = 3 * time.Millisecond
	startsPerNoise = 5
)

// growthRuns is how often a command is run at a size, if that takes little time. The lowest
// cost counts.
const growthRuns = 10

// growing is data of one kind that can be made in any size.
type growing struct {
	what string // what there is more of, as in the table
	base int    // how many there are in the smallest of the three sizes
	make func(t *testing.T, dir string, n int)
	rows []growthRow
}

// growthRow is a command whose cost on the data is measured.
type growthRow struct {
	command string // as in the table
	code    int
	// args returns the command's arguments; dir has the data of size n.
	args func(dir string, n int) []string
	// prepare undoes what an earlier run did, before each run; nil if a run leaves nothing.
	prepare func(t *testing.T, dir string, n int)
}

// growthFactors are the three sizes, as multiples of the base.
var growthFactors = [3]int{1, 10, 100}

// cost is the processor time of a row: of starting, which is measured on data of one, and at
// the three sizes. If one is the smallest size, the cost of starting is not known.
type cost struct {
	start time.Duration
	sizes [len(growthFactors)]time.Duration
}

// at returns the cost of a size without starting.
func (c cost) at(size int) time.Duration { return c.sizes[size] - c.start }

// exponent returns the power of the size that fits the cost best: the slope of the
// least-squares line through the logarithms.
func (c cost) exponent() float64 {
	noise := max(resolution, c.start/startsPerNoise)
	var x, y, xx, xy float64
	for i, factor := range growthFactors {
		lx, ly := math.Log(float64(factor)), math.Log(float64(max(c.at(i), noise)))
		x, y, xx, xy = x+lx, y+ly, xx+lx*lx, xy+lx*ly
	}
	n := float64(len(growthFactors))
	return (n*xy - x*y) / (n*xx - x*x)
}

// tooSteep reports whether the cost grows faster than it may.
func (c cost) tooSteep() bool { return c.exponent() > maxExponent }

// TestExponent: the fit finds the power with which a cost grows, and refuses a quadratic one
// even if that part is small at first, or hidden below the resolution.
func TestExponent(t *testing.T) {
	of := func(f func(n float64) float64) (c cost) {
		c.start = 10 * time.Millisecond
		for i, factor := range growthFactors {
			c.sizes[i] = c.start + time.Duration(f(float64(factor))*float64(time.Millisecond))
		}
		return c
	}
	for name, c := range map[string]struct {
		cost  cost
		want  float64
		steep bool
	}{
		"constant":             {of(func(float64) float64 { return 20 }), 0, false},
		"nothing":              {cost{}, 0, false},
		"less than nothing":    {of(func(float64) float64 { return -1 }), 0, false},
		"logarithmic":          {of(func(n float64) float64 { return 20 + math.Log(n) }), 0.045, false},
		"square root":          {of(func(n float64) float64 { return 20 * math.Sqrt(n) }), 0.5, false},
		"linear":               {of(func(n float64) float64 { return 20 * n }), 1, false},
		"sorting 10,000":       {of(func(n float64) float64 { return 20 * n * math.Log(10_000*n) }), 1.09, false},
		"the power of 1.2":     {of(func(n float64) float64 { return 20 * math.Pow(n, 1.2) }), 1.2, true},
		"quadratic":            {of(func(n float64) float64 { return 20 * n * n }), 2, true},
		"quadratic from 10 on": {of(func(n float64) float64 { return 20*n + 2*n*n }), 1.5, true},
		"quadratic from 50 on": {of(func(n float64) float64 { return 20*n + n*n*20/50 }), 1.23, true},
		"quadratic and fast":   {of(func(n float64) float64 { return n * n / 10 }), 1.26, true},
		"quadratic but unfelt": {of(func(n float64) float64 { return n * n / 50 }), 0.91, false},
		"cubic":                {of(func(n float64) float64 { return 20 * n * n * n }), 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.InDelta(t, c.want, c.cost.exponent(), 0.02)
			require.Equal(t, c.steep, c.cost.tooSteep())
		})
	}
}

// growthTable is the table of docs/performance.md.
type growthTable struct{ lines []string }

// add adds a line, and returns it.
func (g *growthTable) add(grows *growing, row growthRow, c cost) string {
	ms := func(d time.Duration) string {
		return fmt.Sprintf("%.0f ms", max(0, d.Seconds()*1000))
	}
	line := fmt.Sprintf("| %s | %s | %s | %s | %s | %.2f |", row.name(), grows.title(), ms(c.at(0)), ms(c.at(1)), ms(c.at(2)), c.exponent())
	g.lines = append(g.lines, line)
	return line
}

func (g *growthTable) String() string {
	slices.SortStableFunc(g.lines, func(a, b string) int { return cmp.Compare(firstCell(a), firstCell(b)) })
	return "| command | what grows | 1 | 10 | 100 | exponent |\n| --- | --- | --- | --- | --- | --- |\n" + strings.Join(g.lines, "\n")
}

func firstCell(line string) string { return strings.Split(line, "|")[1] }

func (r growthRow) name() string { return "`" + r.command + "`" }

// title names what grows, and the smallest number of it.
func (g *growing) title() string { return fmt.Sprintf("%s, from %s", g.what, thousands(g.base)) }

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// TestLoadGrowth measures how the processor time of each command grows with the amount of each
// kind of data, prints the table of docs/performance.md, and fails if an exponent exceeds 1.1.
// It does not check whether the smallest sizes cost too much. In the short form each command
// only has to succeed at a small size.
func TestLoadGrowth(t *testing.T) {
	clitest.SkipUnderRace(t)
	clitest.InMemory(t)
	bin := ""
	if clitest.UnderLoad() {
		bin = builtTools(t)
	}
	table := &growthTable{}
	for i := range growths {
		g := &growths[i]
		t.Run(strings.ReplaceAll(g.what, " ", "-"), func(t *testing.T) {
			if !clitest.UnderLoad() {
				g.measure(t, bin, min(g.base, 3), 1)
				return
			}
			costs := make([]cost, len(g.rows))
			if g.base > 1 {
				for row, cpu := range g.measure(t, bin, 1, growthRuns) {
					costs[row].start = cpu
				}
			}
			for size, factor := range growthFactors {
				for row, cpu := range g.measure(t, bin, g.base*factor, growthRuns) {
					costs[row].sizes[size] = cpu
				}
			}
			for row, c := range costs {
				t.Log(table.add(g, g.rows[row], c))
				if c.tooSteep() {
					t.Errorf("%s: %v to start, %v with %s: the exponent is %.2f", g.rows[row].command, c.start, c.sizes, g.title(), c.exponent())
				}
			}
		})
	}
	if clitest.UnderLoad() {
		t.Logf("\n%s", table)
	}
}

// enoughRun is the processor time after which a row is no longer repeated.
const enoughRun = time.Second

// measure makes data of a size and returns the lowest processor time of each row on it, of at
// most that many runs.
func (g *growing) measure(t *testing.T, bin string, n, runs int) []time.Duration {
	t.Helper()
	dir, err := os.MkdirTemp("", "growth-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	g.make(t, dir, n)
	least := make([]time.Duration, len(g.rows))
	for i, row := range g.rows {
		for run, all := 0, time.Duration(0); run < runs && (run < 2 || all < enoughRun); run++ {
			if row.prepare != nil {
				row.prepare(t, dir, n)
			}
			cpu := row.run(t, bin, dir, n)
			if all += cpu; run == 0 || cpu < least[i] {
				least[i] = cpu
			}
		}
	}
	return least
}

// run runs the command and returns the processor time of it and of the processes it started.
func (r growthRow) run(t *testing.T, bin, dir string, n int) time.Duration {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(filepath.Join(bin, strings.Fields(r.command)[0]), r.args(dir, n)...)
	cmd.Stderr = &errs
	_ = cmd.Run()
	require.Equal(t, r.code, cmd.ProcessState.ExitCode(), "%q with %d: %s", cmd.Args, n, errs.String())
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// builtTools builds ailee as it is released, except for the libraries, and returns a folder
// with the names of all commands.
func builtTools(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	ailee := filepath.Join(bin, "ailee")
	for _, args := range [][]string{{"go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", ailee, "../cmd/ailee"}, {ailee, "--install-links", bin}} {
		said, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		require.NoError(t, err, string(said))
	}
	t.Setenv("AILEE_BIN", bin)
	return bin
}

// TestGrowthIsDocumented: docs/performance.md has every row, and no exponent is too large.
func TestGrowthIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(golden.Dir(), "..", "..", "docs", "performance.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## How cost grows\n")
	require.True(t, found)
	documented := map[string]string{}
	for _, line := range strings.Split(section, "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 8 && strings.HasPrefix(cells[1], " `") {
			documented[strings.TrimSpace(cells[1])+" "+strings.TrimSpace(cells[2])] = strings.TrimSpace(cells[6])
		}
	}
	for i := range growths {
		g := &growths[i]
		for _, row := range g.rows {
			key := row.name() + " " + g.title()
			var exponent float64
			_, err := fmt.Sscan(documented[key], &exponent)
			require.NoError(t, err, "no row for %s", key)
			require.LessOrEqual(t, exponent, maxExponent, key)
			delete(documented, key)
		}
	}
	require.Empty(t, documented, "rows that are no longer measured")
}
