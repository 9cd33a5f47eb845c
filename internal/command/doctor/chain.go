package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ailee-recovery/internal/cli/flags"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
)

// resyncDepth is how many blocks below the highest one a resync begins. It is also the deepest
// reorg that a resync accepts without --max-reorg-depth.
const resyncDepth = 100

// bitcoinFails reports whether Bitcoin was asked but cannot be used now.
func (p *planner) bitcoinFails() bool {
	return p.v.BitcoinState != nil && p.v.BitcoinState.Trouble != ""
}

// syncCommand returns the command that fetches block hashes and anchor states from Bitcoin.
func (p *planner) syncCommand(flags ...string) []string {
	return slices.Concat([]string{"ailee_resync_blocks", "--anchors"}, flags, []string{"--db-path", p.databasePath()}, p.bitcoinFlags())
}

// decideSync returns the step that fetches from Bitcoin. It is nil if nothing needs to be
// fetched, or if Bitcoin cannot be used now: the command is then advice.
func (p *planner) decideSync() *Step {
	s := p.wantedSync()
	if s == nil || !p.bitcoinFails() {
		return s
	}
	p.consider(s.Command, "When %s can be used, with the node stopped", p.url())
	return nil
}

// wantedSync returns the step that fetches from Bitcoin, nil if nothing calls for it.
func (p *planner) wantedSync() *Step {
	v, d := p.v, p.database
	if d.how == lost || d.how == hidden || p.unread() {
		return nil
	}
	step := &Step{Text: "Fetch the missing block hashes, and what became of the anchors.", Stopped: true}
	switch {
	case d.how == gather && v.Records != nil && v.Records.CounterBehind && len(d.sources) == 1 && v.Is(datadir.DBDamage, datadir.Sound):
		return p.bitcoinSync(step)
	case d.replaces(), d.how == repairHeights:
		step.Command = p.syncCommand()
		return step
	}
	return p.bitcoinSync(step)
}

// bitcoinSync completes the step by what Bitcoin and the records say, and returns nil if they
// do not call for it.
func (p *planner) bitcoinSync(step *Step) *Step {
	v := p.v
	var flags []string
	switch r := v.Records; {
	case r == nil:
		return nil
	case len(r.Gaps) > 0 && v.Chain == nil && r.Gaps[0].From <= lowHeight && r.Gaps[0].To > lowHeight:
		p.consider(p.askBitcoin(), "The lowest heights may be a count of blocks. Bitcoin can tell")
		return nil
	case len(r.Gaps) > 0:
		flags = []string{"--start-height", fmt.Sprint(r.Gaps[0].From)}
	case v.Is(datadir.BitcoinBlocks, datadir.Wrong) && v.Chain.Different > 0:
		if first := v.Chain.First.From; r.Tip >= resyncDepth && first < r.Tip-resyncDepth {
			flags = []string{"--start-height", fmt.Sprint(first), "--max-reorg-depth", fmt.Sprint(r.Tip - first + 1)}
		}
		step.Text = "Apply the reorg as the node would have, and see what became of the anchors."
	case v.Is(datadir.BitcoinBlocks, datadir.Wrong) && r.Blocks == 0:
		flags = []string{"--start-height", fmt.Sprint(p.firstHeight())}
	case v.Is(datadir.BitcoinBlocks, datadir.Wrong):
	case v.Is(datadir.BitcoinAnchors, datadir.Wrong), p.anchorFailed():
		step.Text = "See what became of the anchors."
	default:
		return nil
	}
	step.Command = p.syncCommand(flags...)
	return step
}

// lowHeight is more than the number of blocks that a node sees between two starts, and less
// than any height since AILEE nodes exist.
const lowHeight = 100_000

// askBitcoin returns the command that runs ailee-doctor with Bitcoin.
func (p *planner) askBitcoin() []string {
	return slices.Concat(p.own("ailee-doctor"), p.bitcoinFlags())
}

// anchorFailed reports whether the latest anchor is INVALIDATED or FAILED.
func (p *planner) anchorFailed() bool {
	a := p.v.AgreeLatest
	return a != nil && (a.Status == "invalidated" || a.Status == "failed")
}

// keptBlocks is how many blocks a node keeps.
const keptBlocks = 1000

// firstHeight returns the height at which a new database begins: that of the latest anchor, or
// else the one from which it has as many blocks as a node keeps.
func (p *planner) firstHeight() uint64 {
	if l := p.v.Latest; l != nil && l.Height > 0 {
		return l.Height
	}
	if b := p.v.BitcoinState; b != nil && b.Height > keptBlocks {
		return uint64(b.Height) - keptBlocks
	}
	return 0
}

// decideSend returns the step that finishes a broadcast, after the step that extracts its
// snapshot, if that is needed.
func (p *planner) decideSend() (steps []Step) {
	b := p.v.Broadcast
	if !p.v.Is(datadir.DataBroadcast, datadir.Wrong) || b == nil {
		return nil
	}
	if b.Anchor == "" {
		p.manual("Find out which PENDING record %s belongs to before you move it away: %s", b.Path,
			exit.Command("ailee_reorg_show", "--db-path", p.databasePath(), "anchors", "--status", "pending"))
		return nil
	}
	command := p.sendCommand(p.file())
	switch {
	case b.Latest && !p.latestMoves():
	case b.Snapshot > 0:
		steps = append(steps, Step{Text: "Extract the snapshot that was being anchored.",
			Command: []string{"ailee_extract_snapshots", "--index", fmt.Sprint(b.Snapshot), p.file(), p.room}})
		// A node loads the last snapshot in its file: an older state must not be appended to it.
		command = append(p.sendCommand(filepath.Join(p.room, fmt.Sprintf("snapshot_%d.dat", b.Snapshot))), "--output", filepath.Join(p.room, fmt.Sprintf("anchored_%d.dat", b.Snapshot)))
	case p.latestMoves():
		return nil // the file that replaces this one may have it
	default:
		p.manual("Find the state file that was being anchored: the snapshot file has no snapshot with the root %s. Then, with the node stopped: %s", b.Root,
			exit.Command(p.sendCommand("STATE_FILE")...))
		return nil
	}
	send := Step{Text: "Finish the broadcast: the same transaction, paid once.", Command: command, Stopped: true}
	if p.unread() {
		return nil
	}
	if p.bitcoinFails() {
		p.consider(send.Command, "When %s can be used, finish the broadcast, with the node stopped", p.url())
		return nil
	}
	return append(steps, send)
}

// latestMoves reports whether the plan may give the file another latest snapshot. Anchoring a
// different state than the one of the broadcast would pay for another transaction.
func (p *planner) latestMoves() bool {
	return p.snapshots.replaces() || p.leftover(datadir.PruneLeft) != nil
}

// unread reports whether the database could not be checked.
func (p *planner) unread() bool {
	return p.v.Is(datadir.DBForm, datadir.CouldNot) || p.v.Is(datadir.DBDamage, datadir.CouldNot) || p.v.Is(datadir.DBRecords, datadir.CouldNot)
}

func (p *planner) sendCommand(state string) []string {
	command := []string{"ailee_create_anchor", "--broadcast", "--yes"}
	if w := p.v.Broadcast.Wallet; w != "" {
		command = append(command, "--wallet", w)
	}
	command = append(command, "--l2-state-file", state)
	if p.DataDir != flags.DefaultDataDir {
		command = append(command, "--data-dir", p.DataDir)
	}
	return append(command, p.bitcoinFlags()...)
}

// extracts reports whether the broadcast needs a snapshot that is extracted first.
func (p *planner) extracts(send []Step) bool { return len(send) == 2 }

// needsSaving reports whether the plan changes the database in place although no backup has
// everything in it.
func (p *planner) needsSaving(send []Step) bool {
	changes := p.sync != nil || len(send) > 0 || p.database.how == repairHeights
	if !changes || p.database.replaces() || !p.v.Is(datadir.DBDamage, datadir.Sound) || p.v.BackupFolder == nil || p.v.BackupFolder.NotMounted {
		return false
	}
	c := p.coverOf(datadir.DatabaseKind)
	if c == nil || c.live < 0 {
		return false
	}
	best := c.newest(p.v)
	if best < 0 {
		return true
	}
	return !c.loss([]int{best}).none()
}

// consider adds advice.
func (p *planner) consider(command []string, format string, args ...any) {
	p.plan.Consider = append(p.plan.Consider, Advice{fmt.Sprintf(format, args...), command})
}

// considerAll adds the advice that costs money or needs judgement.
func (p *planner) considerAll() {
	anchorAgain := append([]string{"ailee_create_anchor", "--broadcast", "--l2-state-file", p.file()}, p.bitcoinFlags()...)
	if a := p.v.AgreeLatest; a != nil && a.Recorded == 0 && len(a.HadBy) == 0 && p.v.Fact(datadir.AgreeLatest).Remark != "" && !p.database.replaces() {
		p.consider(nil, "The latest anchor has no record. If it was sent, ailee_l2_verify --anchor-tx proves it by its transaction.")
		p.consider(anchorAgain, "If it was not sent, anchor again, with the node stopped. This costs a fee, and asks before it sends")
	}
	if p.anchorFailed() && p.sync != nil {
		p.consider(anchorAgain, "If the latest anchor is still %s after that, anchor again, with the node stopped. This costs a fee, and asks before it sends",
			strings.ToUpper(p.v.AgreeLatest.Status))
	}
	if h := p.v.Holders; h != nil && h.Installed && h.Node() == nil && !slices.ContainsFunc(p.plan.Steps, starts) && p.snapshots.how != lost && p.database.how != lost {
		p.consider([]string{"systemctl", "start", p.Unit}, "The node is not running")
	}
}

func starts(s Step) bool {
	return len(s.Command) > 1 && s.Command[0] == "systemctl" && s.Command[1] == "start"
}
