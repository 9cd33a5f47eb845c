// Command bench measures the tools against public ones: on the same bytes, in the same run,
// taking turns, the median of several repetitions. It prints the table of docs/performance.md.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/reorgdb"
)

const (
	mib = 1 << 20
	// maxMemory is the most memory that the tools may use, in bytes.
	maxMemory = 64 * mib
	// nodeDir is the name of a node's data directory within the folder of the data.
	nodeDir = "node"
	// largeRuns limits the runs of a row with GiBs of data: each run writes them twice.
	largeRuns = 3
	// startRounds is how often a command that takes a millisecond is run for one measurement.
	startRounds = 50
)

// work is one row: two commands for the same job. $OUT stands for a new path in
// each run, and $CHAIN, $FORK and $NODE for the servers of these names.
type work struct {
	name      string // without its backquotes it selects the row, with -only
	ours      string
	reference string
	ratio     float64       // at most this many times the reference; 0 if limit bounds it
	limit     time.Duration // at most, if the reference does less than the whole job
	writes    bool          // let the disk settle before each run
	memory    int64         // at most, in bytes; 0 for maxMemory
	rounds    int           // how often it is run for one measurement; 0 for once
	// before runs before ours and is not measured; "" for nothing. If it contains $SIDE,
	// which is "ours" or "reference", it runs before both.
	before string
	// most limits the number of runs, 0 for no limit; the output of such a row is removed after
	// each run, since it would fill the disk.
	most int
}

func main() {
	dir := flag.String("dir", "bench-data", "the folder in which the data is made and kept")
	bin := flag.String("bin", "bin", "the folder of the tools")
	repeat := flag.Int("repeat", 9, "how often each command is run")
	only := flag.String("only", "", "run only the rows whose name contains this; backquotes do not count")
	list := flag.Bool("list", false, "print the names of the rows and nothing else")
	cpu := flag.Bool("cpu", false, "print how many seconds of the processor both sides took, too")
	data := flag.Bool("data", false, "make the data and nothing else: all of it, or what the arguments name")
	write := flag.String("write", "", "write a reorg database to this folder and nothing else")
	bare := flag.String("write-bare", "", "the same, with only the library")
	part := flag.String("part", "", "run only one part of a row, as a separate process: chain, fork, node, fetch or bare")
	flag.Parse()
	var err error
	switch {
	case *data:
		err = makeData(*dir, *bin, flag.Args())
	case *write != "":
		err = writeBlocks(*write, dbBlocks, blockHash, func(*reorgdb.Update) error { return nil })
	case *bare != "":
		err = writeBare(*bare)
	case *part == "chain":
		err = serveChain(bitcointest.NewChain(chainHeights - 1))
	case *part == "fork":
		err = serveChain(deepFork())
	case *part == "node":
		err = serveNode()
	case *part == "fetch":
		err = fetchAll(flag.Arg(0))
	case *part == "bare":
		err = fetchBare(flag.Arg(0))
	case *list:
		for _, w := range allRows(*dir, *bin, "bench") {
			fmt.Println(plain(w.name))
		}
	default:
		err = run(*dir, *bin, *repeat, *only, *cpu)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// allRows returns the rows of the table.
func allRows(dir, bin, self string) []work {
	one, many, few, kept := filepath.Join(dir, "one.dat"), filepath.Join(dir, "many.dat"), filepath.Join(dir, "few.dat"), filepath.Join(dir, "kept.dat")
	state, out := filepath.Join(dir, "state.json"), filepath.Join(dir, "out")
	verify, extract, prune := bin+"/ailee_l2_verify", bin+"/ailee_extract_snapshots -q", bin+"/ailee_prune_snapshots -q"
	anchor, peer := bin+"/ailee_create_anchor -q", firstPeer()
	db := filepath.Join(dir, "reorg_db")
	scan := "ldb --db=" + db + " scan" + toNull
	large := filepath.Join(dir, nodeDir, "l2_snapshots.dat")
	backup := bin + "/ailee-backup -q --snapshot-only --data-dir " + filepath.Dir(large) + " --backup-dir $OUT"
	copied := "cp " + large + " $OUT && sync $OUT"
	rows := []work{
		{name: "verify the latest of 1,000 snapshots (1 GiB), against the same of 10 (10 MiB)",
			ours:      verify + " --snapshot " + many,
			reference: verify + " --snapshot " + few,
			ratio:     1.2},
		{name: "verify one 500 MiB snapshot, against `openssl dgst -sha256`",
			ours:      verify + " --snapshot " + one,
			reference: "openssl dgst -sha256 " + one,
			ratio:     1},
		{name: "show one peer of a 500 MiB snapshot, which is verified, against `openssl dgst -sha256` and `grep -c`",
			ours:      bin + "/ailee_show_snapshot --id " + peer + " " + one,
			reference: "openssl dgst -sha256 " + one + " && grep -c " + peer + " " + one,
			ratio:     1.6},
		{name: "`--all` on 1 GiB, against `openssl dgst -sha256`",
			ours:      verify + " --all --snapshot " + many + toNull,
			reference: "openssl dgst -sha256 " + many,
			ratio:     0.75},
		{name: "extract all 1,000 snapshots, against `cp` and `sync`",
			ours:      extract + " " + many + " $OUT",
			reference: "cp " + many + " $OUT && sync $OUT",
			ratio:     1.15, writes: true},
		{name: "prune to the last 500, against `cp` of these bytes and `sync`",
			ours:      prune + " --file " + many + " --keep 500 --output $OUT",
			reference: "cp " + kept + " $OUT && sync $OUT",
			ratio:     1.15, writes: true},
		{name: "prune 1 GiB to the last 5, against the same on 10 MiB",
			ours:      prune + " --file " + many + " --keep 5 --output $OUT",
			reference: prune + " --file " + few + " --keep 5 --output $OUT",
			ratio:     1.2, writes: true},
		{name: "recover all of a sound file of 1 GiB, against `cp` and `sync`",
			ours:      bin + "/ailee_recover_snapshots -q " + many + " $OUT",
			reference: "cp " + many + " $OUT && sync $OUT",
			ratio:     1.3, writes: true},
		{name: "back up a snapshot file of 5 GiB, against `cp` and `sync`",
			ours:      backup,
			reference: copied,
			ratio:     1.3, writes: true, most: largeRuns},
		{name: "back it up again, unchanged, against `cp` and `sync`",
			ours:      backup,
			reference: copied,
			ratio:     0.05, writes: true, before: backup, most: largeRuns},
		{name: "restore it, against `cp` and `sync`",
			ours:      bin + "/ailee-restore -q --data-dir $OUT --snapshot-backup " + large,
			reference: copied,
			ratio:     1.3, writes: true, before: "mkdir $OUT", most: largeRuns},
		{name: "root, anchor and append of a state of 1,000,000 balances (97 MiB of JSON), against `jq -c .`",
			ours:      anchor + " --l2-state-file " + state + " --data-dir " + out,
			reference: "jq -c . " + state + " > /dev/null",
			ratio:     0.35, writes: true, memory: 3 * stateSize},
		{name: "verify a reorg database of 1,000,000 blocks and 10,000 anchors, against `ldb scan`",
			ours:      bin + "/ailee_reorg_verify -q --db-path " + db,
			reference: scan,
			ratio:     0.3, memory: 128 * mib},
		{name: "copy it record by record, against `ldb scan`",
			ours:      bin + "/ailee_init_reorg_db -q --copy-from " + db + " --path $OUT",
			reference: scan,
			ratio:     1, writes: true, memory: 128 * mib},
		{name: "write 1,000,000 block hashes, against the library with nothing around it",
			ours:      self + " -write $OUT",
			reference: self + " -write-bare $OUT",
			ratio:     1.5, writes: true, memory: 128 * mib},
	}
	return slices.Concat(rows, verifyRows(dir, bin), smallRows(dir, bin), bitcoinRows(dir, bin, self))
}

// plain returns the name of a row so that a shell can take it between double quotes.
func plain(name string) string { return strings.ReplaceAll(name, "`", "") }

// selectRows returns the rows whose name contains only, ignoring backquotes.
func selectRows(rows []work, only string) []work {
	return slices.DeleteFunc(rows, func(w work) bool { return !strings.Contains(plain(w.name), plain(only)) })
}

// mentions reports whether a command of the row has the text in it.
func (w work) mentions(text string) bool {
	return slices.ContainsFunc([]string{w.ours, w.reference, w.before}, func(s string) bool { return strings.Contains(s, text) })
}

func run(dir, bin string, repeat int, only string, cpu bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	rows := selectRows(allRows(dir, bin, self), only)
	if len(rows) == 0 {
		return fmt.Errorf("no row has a name with %q in it: -list prints them all", only)
	}
	// In a separate process: the memory that this one had used would count towards the
	// peak of those it starts.
	args := append([]string{"-data", "-dir", dir, "-bin", bin, "--"}, dataOf(rows, dir)...)
	fmt.Fprintln(os.Stderr, "making the data (once; 8 GiB for all rows)")
	if out, err := exec.Command(self, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("making the data: %w: %s", err, out)
	}
	stop, err := startServers(rows, self)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("%s, %d runs each, median\n\n", machine(), repeat)
	heading := "| work | time | against | ratio | target | peak memory |"
	if cpu {
		heading += " processor | against |"
	}
	fmt.Println(heading)
	fmt.Println(strings.Repeat("| --- ", strings.Count(heading, "|")-1) + "|")
	var missed []string
	for _, w := range rows {
		m, err := measure(w, filepath.Join(dir, "out"), repeat)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		misses := w.misses(m)
		mark := ""
		if len(misses) > 0 {
			mark = " **missed**"
			missed = append(missed, fmt.Sprintf("%s: %s; again: go run ./bench -only %q", w.name, strings.Join(misses, ", "), plain(w.name)))
		}
		line := fmt.Sprintf("| %s | %s | %s | %.2f | %s%s | %.0f MiB |",
			w.name, seconds(m.ours), seconds(m.reference), m.ratio(), w.toReach(), mark, float64(m.memory)/mib)
		if cpu {
			line += fmt.Sprintf(" %s | %s |", seconds(m.oursCPU), seconds(m.referenceCPU))
		}
		fmt.Println(line)
	}
	if slices.ContainsFunc(rows, func(w work) bool { return strings.HasPrefix(w.reference, digest256) }) {
		if err := printLimit(dir, repeat); err != nil {
			return err
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%d figure(s) missed in this run:\n%s", len(missed), strings.Join(missed, "\n"))
	}
	return nil
}

// toReach returns the target of the row.
func (w work) toReach() string {
	if w.limit > 0 {
		return seconds(w.limit)
	}
	return fmt.Sprintf("%.2f", w.ratio)
}

// misses returns which targets the row misses, and by how much.
func (w work) misses(m measurement) (misses []string) {
	over := func(have, want float64) string { return fmt.Sprintf("%.0f%% too much", 100*(have/want-1)) }
	if w.ratio > 0 && m.ratio() > w.ratio {
		misses = append(misses, fmt.Sprintf("%.2f of the reference for %.2f, %s", m.ratio(), w.ratio, over(m.ratio(), w.ratio)))
	}
	if w.limit > 0 && m.ours > w.limit {
		misses = append(misses, fmt.Sprintf("%s for %s, %s", seconds(m.ours), seconds(w.limit), over(float64(m.ours), float64(w.limit))))
	}
	if most := cmp.Or(w.memory, maxMemory); m.memory > most {
		misses = append(misses, fmt.Sprintf("%.0f MiB for %.0f, %s", float64(m.memory)/mib, float64(most)/mib, over(float64(m.memory), float64(most))))
	}
	return misses
}

// seconds formats a duration with three significant digits.
func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.5f s", d.Seconds())
	}
	return fmt.Sprintf("%.3f s", d.Seconds())
}

// sides are the two commands of a row.
var sides = [2]string{"ours", "reference"}

type measurement struct {
	ours, reference       time.Duration
	oursCPU, referenceCPU time.Duration // of all cores, in user mode and in the kernel
	memory                int64         // bytes, the most that ours took
}

func (m measurement) ratio() float64 { return float64(m.ours) / float64(m.reference) }

// measure lets the two commands take turns. Most output is removed only afterwards: a file
// system is slow at creating files just after it removed some.
func measure(w work, out string, repeat int) (measurement, error) {
	defer os.RemoveAll(out)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return measurement{}, err
	}
	var took, cpu [2][]time.Duration
	var memory int64
	if w.most > 0 {
		repeat = min(repeat, w.most)
	}
	for i := range repeat + 1 {
		path := filepath.Join(out, fmt.Sprint(i))
		var runs [2]result
		// They alternate: the second one profits from the memory that the first has just freed.
		for _, k := range []int{i % 2, 1 - i%2} {
			var err error
			if runs[k], err = rounds(w, sides[k], fmt.Sprintf("%s-%d", path, k)); err != nil {
				return measurement{}, err
			}
		}
		if w.most > 0 {
			if err := os.RemoveAll(out); err != nil {
				return measurement{}, err
			}
			if err := os.Mkdir(out, 0o755); err != nil {
				return measurement{}, err
			}
		}
		if i == 0 {
			continue // fills the page cache
		}
		for k, r := range runs {
			took[k], cpu[k] = append(took[k], r.took), append(cpu[k], r.cpu)
		}
		memory = max(memory, runs[0].memory)
	}
	return measurement{ours: median(took[0]), reference: median(took[1]),
		oursCPU: median(cpu[0]), referenceCPU: median(cpu[1]), memory: memory}, nil
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// result is one run of a command.
type result struct {
	took, cpu time.Duration
	memory    int64 // bytes, at the peak
}

// rounds runs a command as often as the row says, and returns what one run takes.
func rounds(w work, side, out string) (result, error) {
	n := max(1, w.rounds)
	var sum result
	for range n {
		r, err := once(w, side, out)
		if err != nil {
			return result{}, err
		}
		sum.took, sum.cpu, sum.memory = sum.took+r.took, sum.cpu+r.cpu, max(sum.memory, r.memory)
	}
	return result{sum.took / time.Duration(n), sum.cpu / time.Duration(n), sum.memory}, nil
}

// toNull, at the end of a command, discards its output.
const toNull = " > /dev/null"

// once runs a command. A single command is not run by a shell, so that only itself
// is measured.
func once(w work, side, out string) (result, error) {
	command := w.ours
	if side != sides[0] {
		command = w.reference
	}
	if w.writes {
		syscall.Sync()
	}
	if before := strings.ReplaceAll(w.before, "$SIDE", side); before != "" && (side == sides[0] || before != w.before) {
		if output, err := commandLine(before, out).CombinedOutput(); err != nil {
			return result{}, fmt.Errorf("%s: %w: %s", before, err, output)
		}
	}
	// Long output would be held in this process, and those it starts begin with its memory.
	command, dropped := strings.CutSuffix(command, toNull)
	cmd := commandLine(command, out)
	var said bytes.Buffer
	if cmd.Stderr = &said; !dropped {
		cmd.Stdout = &said
	}
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w: %s", command, err, said.String())
	}
	return result{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10}, nil
}

func commandLine(command, out string) *exec.Cmd {
	command = strings.ReplaceAll(command, "$OUT", out)
	args := strings.Fields(command)
	if strings.ContainsAny(command, "&|>") {
		args = []string{"sh", "-c", command}
	}
	return exec.Command(args[0], args[1:]...)
}

// machine describes the machine that the figures come from.
func machine() string {
	cpu := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "model name"); ok {
				cpu = strings.TrimLeft(name, "\t: ")
				break
			}
		}
	}
	memory := ""
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		memory = fmt.Sprintf(", %.0f GiB of memory", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	}
	return fmt.Sprintf("%s, %d cores%s, %s", cpu, runtime.NumCPU(), memory, runtime.Version())
}
