package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcjson"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ailee-recovery/internal/bitcoin/bitcointest"
	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/clitest"
	"ailee-recovery/internal/content"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/packed"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
	"ailee-recovery/snapshot"
)

// patient is what faults are injected into: the data directory of a healthy node with its
// backups, on a separate machine, and a Bitcoin node.
type patient struct {
	dir   string // lib/ailee is /var/lib/ailee; see [sandbox]
	chain *bitcointest.Chain
	url   string
	// inside are commands that are run on that machine first.
	inside []string
	// timers are commands that are run after these.
	timers []string
	// small is the size of the disk that the data is on, 0 for no limit.
	small int64
}

func (p *patient) data() string     { return filepath.Join(p.dir, "lib", "ailee") }
func (p *patient) file() string     { return filepath.Join(p.data(), "l2_snapshots.dat") }
func (p *patient) database() string { return filepath.Join(p.data(), "reorg_db") }
func (p *patient) backups() string  { return filepath.Join(p.data(), "backups") }

// The history has one snapshot per hour, the last one now. The older backups have only the first
// few.
const (
	hours        = 9
	blocksStored = 300
	fewBackedUp  = 6
)

// history is what a healthy node has written.
type history struct {
	began     time.Time
	tip       int64
	snapshots []string
	anchors   []reorgdb.Anchor
	txs       map[string]*wire.MsgTx
	heights   map[string]int64 // of the transactions' blocks, by id
}

// newHistory makes a history that ends now. Each snapshot except the first has a peg-out that
// names the anchor of the one before, as real ones do.
func newHistory() *history {
	now := time.Now().UTC().Truncate(time.Second)
	h := &history{began: now.Add(-hours * time.Hour), txs: map[string]*wire.MsgTx{}, heights: map[string]int64{}}
	h.tip = (now.Unix() - bitcointest.GenesisTime) / bitcointest.BlockSpacing
	for i := range hours {
		h.add(uint64(h.began.Add(time.Duration(i+1)*time.Hour).Add(-time.Minute).UnixMilli()), h.tip-int64(6*(hours-i))-60)
	}
	return h
}

// add adds a snapshot, with its anchor in the block at a height.
func (h *history) add(ms uint64, height int64) {
	text, anchor := h.snapshotAt(ms)
	h.snapshots = append(h.snapshots, text)
	tx := wire.NewMsgTx(2)
	source := chainhash.HashH([]byte(anchor.Hash))
	tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: source}, nil, nil))
	tx.TxIn[0].Witness = wire.TxWitness{make([]byte, 72), make([]byte, 33)}
	tx.AddTxOut(wire.NewTxOut(0, snapshot.OpReturnScript(snapshot.Commitment(anchor.Payload))))
	h.txs[tx.TxID()], h.heights[tx.TxID()] = tx, height
	h.anchors = append(h.anchors, reorgdb.Anchor{Hash: anchor.Hash, BitcoinTxID: tx.TxID(), BitcoinHeight: uint64(height), Confirmations: 6,
		BroadcastTime: ms, Status: reorgdb.Confirmed, L2StateRoot: anchor.L2StateRoot})
}

func (h *history) snapshotAt(ms uint64) (string, *snapshot.Anchor) {
	st := snapshot.State{TimestampMs: ms}
	for i := range 20 {
		st.Ledger.Balances = append(st.Ledger.Balances, snapshot.Balance{PeerID: fmt.Sprintf("peer-%04d-%d", i, ms), Balance: uint64(i)})
	}
	if n := len(h.anchors); n > 0 {
		st.Bridge.PegOuts = []snapshot.PegOut{{PegID: fmt.Sprintf("peg-%d", ms), AileeSource: "a", BtcDest: "b", AileeBurnAmount: 1, AnchorCommitmentHash: h.anchors[n-1].Hash}}
	}
	st.Anchor = snapshot.NewAnchor(snapshot.Root(&st), ms, "m")
	var b bytes.Buffer
	if err := snapshot.Encode(&b, &st); err != nil {
		panic(err)
	}
	return b.String(), st.Anchor
}

// newChain makes a Bitcoin node with the transactions of the anchors.
func (h *history) newChain() *bitcointest.Chain {
	c := bitcointest.NewChain(h.tip)
	var mu sync.Mutex
	pool := map[string]*wire.MsgTx{}
	noTx := btcjson.NewRPCError(btcjson.ErrRPCNoTxInfo, "No such mempool or blockchain transaction")
	find := func(params []json.RawMessage) (any, error) {
		var txid string
		_ = json.Unmarshal(params[0], &txid)
		mu.Lock()
		defer mu.Unlock()
		if tx := pool[txid]; tx != nil && len(params) == 1 {
			return wallet.Encode(tx), nil
		} else if tx != nil {
			return map[string]any{"hex": wallet.Encode(tx)}, nil
		}
		if tx := h.txs[txid]; tx != nil {
			return map[string]any{"hex": wallet.Encode(tx), "blockhash": c.Hash(h.heights[txid]), "confirmations": h.tip - h.heights[txid] + 1}, nil
		}
		return nil, noTx
	}
	c.Methods = map[string]func([]json.RawMessage) (any, error){
		"getrawtransaction": find,
		"gettransaction": func(params []json.RawMessage) (any, error) {
			return nil, btcjson.NewRPCError(btcjson.ErrRPCInvalidAddressOrKey, "Invalid or non-wallet transaction id")
		},
		"getindexinfo": func([]json.RawMessage) (any, error) {
			return map[string]any{"txindex": map[string]any{"synced": true}}, nil
		},
		"sendrawtransaction": func(params []json.RawMessage) (any, error) {
			var text string
			_ = json.Unmarshal(params[0], &text)
			tx, err := wallet.Decode(text)
			if err != nil {
				return nil, btcjson.NewRPCError(btcjson.ErrRPCDeserialization, "TX decode failed")
			}
			mu.Lock()
			defer mu.Unlock()
			pool[tx.TxID()] = tx
			return tx.TxID(), nil
		},
	}
	return c
}

// write makes the data directory, with backups from three points in time.
func (h *history) write(t *testing.T, dir string) {
	require.NoError(t, os.MkdirAll(dir, 0o750))
	chain := h.newChain()
	db := filepath.Join(dir, "reorg_db")
	made, err := reorgdb.Create(db)
	require.NoError(t, err)
	update := func(change func(u *reorgdb.Update)) {
		require.NoError(t, made.Update(func(u *reorgdb.Update) error {
			change(u)
			return nil
		}))
	}
	blocks := func(from, to int64) {
		update(func(u *reorgdb.Update) {
			for height := from; height <= to; height++ {
				u.SetBlock(reorgdb.Block{Height: uint64(height), Hash: chain.Hash(height)})
			}
		})
	}
	blocks(h.tip-blocksStored, h.tip-100)
	// A reorg that the node saw, before all anchors.
	update(func(u *reorgdb.Update) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(0), fmt.Appendf(nil, "%d|%064x|%s|%d|0", h.tip-200, 1, chain.Hash(h.tip-200), h.began.Unix())))
		require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte("1")))
	})
	require.NoError(t, made.Sync())
	for i, text := range h.snapshots {
		add(t, mustExist(t, filepath.Join(dir, "l2_snapshots.dat")), text)
		update(func(u *reorgdb.Update) { require.NoError(t, u.Anchor(h.anchors[i])) })
		if i == fewBackedUp-1 || i == len(h.snapshots)-2 {
			require.NoError(t, made.Sync())
			require.NoError(t, made.Close())
			h.backUp(t, dir)
			made, err = reorgdb.Open(db)
			require.NoError(t, err)
		}
	}
	blocks(h.tip-99, h.tip)
	require.NoError(t, made.Sync())
	// The rest is only in the log.
	update(func(u *reorgdb.Update) {
		require.NoError(t, u.Put(reorgdb.DefaultFamily, reorgdb.EventKey(1), fmt.Appendf(nil, "%d|%064x|%s|%d|0", h.tip-150, 2, chain.Hash(h.tip-150), h.began.Unix())))
		require.NoError(t, u.Put(reorgdb.DefaultFamily, []byte(reorgdb.CounterKey), []byte("2")))
	})
	require.NoError(t, made.Close())
	h.backUp(t, dir)
}

func mustExist(t *testing.T, path string) string {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o640)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return path
}

// holdings is what a data directory and its backups have: valid snapshots by their bytes,
// anchors by key, and events by content.
type holdings map[string]bool

// all returns what the live data and the backups have between them.
func (p *patient) all(t *testing.T) holdings {
	h := holdings{}
	h.addFile(t, p.file())
	h.addDatabase(t, p.database())
	h.addFile(t, filepath.Join(p.data(), ".l2_snapshots.dat.ailee-restore.tmp"))
	h.addDatabase(t, filepath.Join(p.data(), ".reorg_db.ailee-restore.tmp"))
	entries, err := os.ReadDir(p.backups())
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for _, entry := range entries {
		path := filepath.Join(p.backups(), entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), "l2_snapshots"):
			h.addFile(t, path)
		case strings.HasPrefix(entry.Name(), "reorg_db"):
			h.addArchive(t, path)
		}
	}
	for _, pattern := range []string{".l2_snapshots.dat.ailee-old-*", "l2_snapshots.dat.*"} {
		found, _ := filepath.Glob(filepath.Join(p.data(), pattern))
		for _, path := range found {
			h.addFile(t, path)
		}
	}
	return h
}

// newest returns the time of the newest snapshot, as in its text, or "" for none.
func (h holdings) newest() (newest string) {
	for thing := range h {
		if text, ok := strings.CutPrefix(thing, "snapshot SNAPSHOT v1\ntimestamp_ms "); ok {
			at, _, _ := strings.Cut(text, "\n")
			newest = max(newest, at) // all have the same number of digits
		}
	}
	return newest
}

// loaded returns the time of the snapshot that a node loads, "" for none.
func (p *patient) loaded(t *testing.T) string {
	f, err := os.Open(p.file())
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	l, err := snapshot.Latest(f, info.Size())
	if errors.Is(err, snapshot.ErrNoSnapshot) {
		return ""
	}
	require.NoError(t, err)
	report, err := snapshot.NewChecker(nil).Check(t.Context(), f, l)
	require.NoError(t, err)
	return fmt.Sprint(report.TimestampMs)
}

// addFile adds the sound snapshots of a file, including hidden ones.
func (h holdings) addFile(t *testing.T, path string) {
	stored, err := os.Open(path)
	if err != nil {
		return // it is missing
	}
	defer stored.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	require.NoError(t, err)
	defer f.Close()
	if packed.Unpack(t.Context(), f, stored) != nil {
		return // it is truncated
	}
	size, err := f.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	memory := snapshot.NewMemory(0)
	for found, err := range snapshottool.Everything(t.Context(), f, size, memory, snapshot.NewChecker(memory)) {
		require.NoError(t, err)
		if found.Report == nil || !found.Report.Holding() {
			continue
		}
		text := make([]byte, found.Size)
		_, err := f.ReadAt(text, found.Offset)
		require.NoError(t, err)
		text, _ = bytes.CutSuffix(text, []byte("\n"))
		h["snapshot "+string(text)] = true
	}
}

func (h holdings) addDatabase(t *testing.T, path string) {
	d, err := content.ReadDatabase(t.Context(), path, content.DatabaseOptions{})
	if err != nil {
		return
	}
	defer d.Close()
	for a, err := range d.AnchorRecords() {
		require.NoError(t, err)
		h["anchor "+a.Hash] = true
	}
	for e, err := range d.EventDigests() {
		require.NoError(t, err)
		h["event "+hex.EncodeToString(e.SHA256[:])] = true
	}
}

func (h holdings) addArchive(t *testing.T, path string) {
	dir := t.TempDir()
	if exec.Command("tar", "-C", dir, "-xf", path).Run() != nil {
		return // it is truncated
	}
	h.addDatabase(t, filepath.Join(dir, "reorg_db"))
}

// newPatient makes a patient with a copy of a healthy node's data.
func newPatient(t *testing.T, healthy string, h *history) *patient {
	p := &patient{dir: newSandbox(t).dir, chain: h.newChain()}
	require.NoError(t, os.Remove(p.data()))
	require.NoError(t, exec.Command("cp", "-a", healthy, p.data()).Run())
	p.url = p.chain.Serve(t)
	return p
}

// own makes the node's user the owner of the data.
func (p *patient) own(t *testing.T) {
	if os.Geteuid() == 0 {
		require.NoError(t, exec.Command("chown", "-R", fmt.Sprintf("%d:%[1]d", aileeUID), p.data()).Run())
	}
}

// followed is the name of the program that follows the doctor as an operator would: followed
// DIR TOOLS REPOSITORY URL SIZE COMMAND...
const followed = "followed"

// follow runs the doctor on the patient's machine, and the commands of its plan, until there is
// no plan, for at most [rounds]. It returns what the operator sees and the last exit status.
func (p *patient) follow(t *testing.T, url string) (seen string, code int) {
	t.Helper()
	tools, err := exec.LookPath(followed)
	require.NoError(t, err)
	here, err := os.Getwd()
	require.NoError(t, err)
	cmd := exec.Command(followed, slices.Concat([]string{p.dir, filepath.Dir(tools), filepath.Dir(here), url, fmt.Sprint(p.small)}, p.inside, p.timers)...)
	cmd.SysProcAttr = inOwnNamespaces(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP)
	cmd.Env = []string{"PATH=/mnt/guide/bin:/mnt/work:/mnt/tools:" + os.Getenv("PATH"), "PLACE=/mnt", "HOME=/mnt/home", "LC_ALL=C.UTF-8"}
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// canFollow skips the test if there are no namespaces.
func canFollow(t *testing.T) {
	cmd := exec.Command(followed)
	cmd.SysProcAttr = inOwnNamespaces(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWCGROUP)
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Skip("namespaces are not available here:", err)
	}
}

// followedMain is the first process of the patient's machine. Without arguments it only shows
// that there can be such a process.
func followedMain() {
	if len(os.Args) < 6 {
		return
	}
	code, err := beFollowed(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6:])
	if err != nil {
		fmt.Println("followed:", err)
		code = 9
	}
	os.Exit(code)
}

// rounds is the maximum number of times that the doctor is run.
const rounds = 3

func beFollowed(dir, tools, repository, url, size string, inside []string) (code int, err error) {
	if err := mountPatient(dir, tools, repository, size); err != nil {
		return 0, err
	}
	for _, command := range inside {
		if out, err := shellCommand(command).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	args := []string{"ailee-doctor"}
	if url != "" {
		args = append(args, "--bitcoin-rpc", url, "--rpc-wait", "0")
	}
	before := ""
	for range rounds {
		out, status := show(exec.Command(args[0], args[1:]...))
		if status == exit.OK {
			return status, nil
		}
		steps := stepsIn(out)
		if len(steps) == 0 {
			return status, nil
		}
		all := commandsOf(steps)
		if all != "" && all == before {
			fmt.Println("followed: the same again")
			return 9, nil
		}
		before = all
		for _, s := range steps {
			if strings.HasPrefix(s.command, "ailee-doctor") {
				break
			}
			if _, code := show(shellCommand(s.command)); code != exit.OK && (code != exit.Wrong || !s.wrongIsFine) {
				fmt.Println("followed: the step failed")
				return 9, nil
			}
		}
		code = status
	}
	return code, nil
}

// stamps matches times in names.
var stamps = regexp.MustCompile(`\d{8}_\d{6}`)

// commandsOf returns the commands of a plan that change something, without the times in names.
func commandsOf(steps []step) (all string) {
	for _, s := range steps {
		if !strings.HasPrefix(s.command, "ailee-doctor") {
			all += stamps.ReplaceAllString(s.command, "T") + "\n"
		}
	}
	return all
}

func shellCommand(command string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = "/mnt/work"
	return cmd
}

// show runs a command and prints it with its output.
func show(cmd *exec.Cmd) (out string, code int) {
	fmt.Printf("# %s\n", strings.Join(cmd.Args, " "))
	text, _ := cmd.CombinedOutput()
	fmt.Printf("%s<exit %d>\n", text, cmd.ProcessState.ExitCode())
	return string(text), cmd.ProcessState.ExitCode()
}

// step is a command in the doctor's plan.
type step struct {
	command     string
	wrongIsFine bool // exit status 2 is expected
}

// stepsIn returns the steps of a plan, as an operator reads them: the commands that are indented
// below a number. Alternatives, advice and the last resort are left out.
func stepsIn(out string) (steps []step) {
	_, plan, ok := strings.Cut(out, "\nWhat to do: ")
	if !ok {
		return nil
	}
	text, command := "", ""
	end := func() {
		if command != "" {
			steps = append(steps, step{strings.TrimSpace(command), strings.Contains(text, "Exit status 2 is expected")})
		}
		text, command = "", ""
	}
	for line := range strings.Lines(plan) {
		numbered := len(line) > 2 && line[0] >= '0' && line[0] <= '9' && strings.Contains(line[:min(4, len(line))], ". ")
		switch {
		case strings.HasPrefix(line, "Instead"), strings.HasPrefix(line, "Consider: "), strings.HasPrefix(line, "Last resort"):
			end()
			return steps
		case numbered:
			end()
			text = line
		case strings.HasPrefix(line, "    ") && text != "":
			command += line
		case text != "":
			text += " " + strings.TrimSpace(line)
		}
	}
	end()
	return steps
}

// mountPatient sets up the machine: its folders, users and disks.
func mountPatient(dir, tools, repository, size string) error {
	if err := mountSandbox(dir, tools, repository); err != nil {
		return err
	}
	for _, m := range [][2]string{{"/mnt/etc/fstab", "/etc/fstab"}} {
		if _, err := os.Stat(m[0]); err == nil {
			if err := unix.Mount(m[0], m[1], "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("%s on %s: %w", m[0], m[1], err)
			}
		}
	}
	if err := linkTools("/mnt"); err != nil {
		return err
	}
	if size == "0" {
		return nil
	}
	// The data is on a separate, nearly full disk.
	if err := unix.Mount("tmpfs", "/var/lib/ailee", "tmpfs", 0, "mode=750,size="+size); err != nil {
		return err
	}
	return exec.Command("cp", "-a", "/mnt/lib/ailee/.", "/var/lib/ailee").Run()
}

func inodeOf(t *testing.T, path string) uint64 {
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return st.Ino
}

// digestOf returns the digest of the end of a text, as in the names of a prune's leftovers.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text[max(0, len(text)-64<<10):]))
	return hex.EncodeToString(sum[:8])
}

// listing returns the names and contents of the files in a folder, except for those that a node
// writes when it opens its database.
func listing(t *testing.T, dir string) map[string]string {
	list := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, _ := filepath.Rel(dir, path)
		switch {
		case entry.IsDir():
			list[name] = "folder"
		case strings.HasPrefix(name, "reorg_db/"):
		case entry.Type().IsRegular():
			sum := sha256.Sum256([]byte(clitest.Read(t, path)))
			list[name] = hex.EncodeToString(sum[:])
		}
		return nil
	}))
	return list
}

// backUp backs up the data directory.
func (h *history) backUp(t *testing.T, dir string, flags ...string) {
	t.Helper()
	out, err := exec.Command("ailee-backup", append([]string{"--data-dir", dir}, flags...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// leaveBroadcast leaves what a broadcast of a state leaves that was interrupted before sending.
func leaveBroadcast(of int) func(*testing.T, *patient, *history) {
	return func(t *testing.T, p *patient, h *history) {
		text := h.snapshots[of]
		report, err := snapshot.NewChecker(nil).Check(t.Context(), strings.NewReader(text), snapshot.Located{Size: int64(len(text)), BodyEnd: int64(strings.LastIndex(text, "END_SNAPSHOT"))})
		require.NoError(t, err)
		anchor := snapshot.NewAnchor(report.Root, uint64(time.Now().UnixMilli()), "m")
		tx := wire.NewMsgTx(2)
		tx.AddTxIn(wire.NewTxIn(&wire.OutPoint{Hash: chainhash.HashH([]byte("coin"))}, nil, nil))
		tx.TxIn[0].Witness = wire.TxWitness{make([]byte, 72), make([]byte, 33)}
		tx.AddTxOut(wire.NewTxOut(0, snapshot.OpReturnScript(snapshot.Commitment(anchor.Payload))))
		pending, err := json.Marshal(map[string]any{"anchor": anchor, "wallet": "", "raw_transaction": wallet.Encode(tx)})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(p.data(), ".reorg_db.anchor-pending"), pending, 0o640))
	}
}
