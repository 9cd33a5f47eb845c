// Command bench measures the tools against public ones: the same bytes, the same
// run, taking turns, the median of several repetitions. It prints the table of
// docs/performance.md.
package main

import (
	"bufio"
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
	// maxMemory is what the tools may take at their peak, in bytes.
	maxMemory = 64 * mib
	// nodeDir is the data directory of a node, in the folder of the data.
	nodeDir = "node"
	// largeRuns is how often a row with GiBs is run: each run writes them twice.
	largeRuns = 3
)

// work is one row: two commands for the same job. $OUT stands for a new path in
// each run.
type work struct {
	name      string
	ours      string
	reference string
	ratio     float64 // at most this many times the reference
	writes    bool    // let the disk settle before each run
	memory    int64   // at most, in bytes; 0 for maxMemory
	// before is run before ours, and not measured; "" for nothing. Where $SIDE is in
	// it, "ours" or "reference", it is run before both.
	before string
	// most is how often it is run at most, 0 for as often as was asked; what such a row has
	// written is removed after each run, since it would fill the disk.
	most int
}

func main() {
	dir := flag.String("dir", "bench-data", "where the data is made and kept")
	bin := flag.String("bin", "bin", "where the tools are")
	repeat := flag.Int("repeat", 9, "how often each command is run")
	only := flag.String("only", "", "run only the rows whose name contains this")
	data := flag.Bool("data", false, "make the data and nothing else")
	write := flag.String("write", "", "write a reorg database to this folder and nothing else")
	bare := flag.String("write-bare", "", "the same with the library and nothing around it")
	part := flag.String("part", "", "run only one part of a row, in a process of its own: chain, fork, node, fetch or bare")
	flag.Parse()
	var err error
	switch {
	case *data:
		err = makeData(*dir)
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
	default:
		err = run(*dir, *bin, *repeat, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// makeData makes the files that are missing.
func makeData(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, nodeDir), 0o755); err != nil {
		return err
	}
	for _, data := range []struct {
		name        string
		count, size int
	}{{"one.dat", 1, 500 * mib}, {"many.dat", 1000, 1 << 30 / 1000}, {"few.dat", 10, 1 << 30 / 1000}, {nodeDir + "/l2_snapshots.dat", 5000, 5 << 30 / 5000}} {
		if err := writeData(filepath.Join(dir, data.name), data.count, data.size); err != nil {
			return err
		}
	}
	if err := writeState(filepath.Join(dir, "state.json"), 1_000_000); err != nil {
		return err
	}
	if err := makeSmall(dir); err != nil {
		return err
	}
	if err := makeDeep(dir); err != nil {
		return err
	}
	return makeDatabase(filepath.Join(dir, "reorg_db"), dbBlocks, 0, dbAnchors, blockHash)
}

func run(dir, bin string, repeat int, only string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "making the data (7.2 GiB, once)")
	// In a process of its own: what this one had taken would count as the peak of
	// those it starts.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if out, err := exec.Command(self, "-data", "-dir", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("making the data: %w: %s", err, out)
	}
	one, many, few, kept := filepath.Join(dir, "one.dat"), filepath.Join(dir, "many.dat"), filepath.Join(dir, "few.dat"), filepath.Join(dir, "kept.dat")
	state, out := filepath.Join(dir, "state.json"), filepath.Join(dir, "out")
	verify, extract, prune := bin+"/ailee_l2_verify", bin+"/ailee_extract_snapshots -q", bin+"/ailee_prune_snapshots -q"
	anchor, peer := bin+"/ailee_create_anchor -q", firstPeer()
	db := filepath.Join(dir, "reorg_db")
	scan := "ldb --db=" + db + " scan > /dev/null"
	if err := exec.Command("sh", "-c", prune+" --force --file "+many+" --keep 500 --output "+kept).Run(); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	info, err := os.Stat(state)
	if err != nil {
		return err
	}
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
			ratio:     1.1},
		{name: "show one peer of a 500 MiB snapshot, which is verified, against `openssl dgst -sha256` and `grep -c`",
			ours:      bin + "/ailee_show_snapshot --id " + peer + " " + one,
			reference: "openssl dgst -sha256 " + one + " && grep -c " + peer + " " + one,
			ratio:     1.6},
		{name: "`--all` on 1 GiB, against `openssl dgst -sha256`",
			ours:      verify + " --all --snapshot " + many,
			reference: "openssl dgst -sha256 " + many,
			ratio:     0.9},
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
			ratio:     0.35, writes: true, memory: 3 * info.Size()},
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
	rows = append(rows, smallRows(dir, bin)...)
	bitcoinRows, stop, err := bitcoinRows(dir, bin, self)
	if err != nil {
		return err
	}
	defer stop()
	rows = append(rows, bitcoinRows...)
	fmt.Printf("%s, %d runs each, median\n\n", machine(), repeat)
	fmt.Println("| work | time | against | ratio | to reach | peak memory |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	missed := 0
	for _, w := range rows {
		if !strings.Contains(w.name, only) {
			continue
		}
		m, err := measure(w, out, repeat)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		verdict := ""
		if m.ratio() > w.ratio || m.memory > cmp.Or(w.memory, maxMemory) {
			verdict = " **missed**"
			missed++
		}
		fmt.Printf("| %s | %.3f s | %.3f s | %.2f | %.2f%s | %.0f MiB |\n",
			w.name, m.ours.Seconds(), m.reference.Seconds(), m.ratio(), w.ratio, verdict, float64(m.memory)/mib)
	}
	if missed > 0 {
		return fmt.Errorf("%d figure(s) out of reach in this run", missed)
	}
	return nil
}

// sides are the two commands of a row.
var sides = [2]string{"ours", "reference"}

type measurement struct {
	ours, reference time.Duration
	memory          int64 // bytes, the most that ours took
}

func (m measurement) ratio() float64 { return float64(m.ours) / float64(m.reference) }

// measure lets the two commands take turns. Most output is removed only afterwards: a
// file system is slow at making files just after it removed some.
func measure(w work, out string, repeat int) (measurement, error) {
	defer os.RemoveAll(out)
	if err := os.MkdirAll(out, 0o755); err != nil {
		return measurement{}, err
	}
	var ours, reference []time.Duration
	var memory int64
	if w.most > 0 {
		repeat = min(repeat, w.most)
	}
	for i := range repeat + 1 {
		path := filepath.Join(out, fmt.Sprint(i))
		var runs [2]result
		// Who comes second finds the memory that the first has just given back.
		for _, k := range []int{i % 2, 1 - i%2} {
			var err error
			if runs[k], err = once(w, sides[k], fmt.Sprintf("%s-%d", path, k)); err != nil {
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
		ours, reference = append(ours, runs[0].took), append(reference, runs[1].took)
		memory = max(memory, runs[0].memory)
	}
	return measurement{ours: median(ours), reference: median(reference), memory: memory}, nil
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

// result is one run of a command.
type result struct {
	took   time.Duration
	memory int64 // bytes, at the peak
}

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
	cmd := commandLine(command, out)
	start := time.Now()
	output, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w: %s", command, err, output)
	}
	return result{took, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10}, nil
}

func commandLine(command, out string) *exec.Cmd {
	command = strings.ReplaceAll(command, "$OUT", out)
	args := strings.Fields(command)
	if strings.ContainsAny(command, "&|>") {
		args = []string{"sh", "-c", command}
	}
	return exec.Command(args[0], args[1:]...)
}

// machine describes where the figures come from.
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
