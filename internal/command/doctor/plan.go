package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ailee-recovery/internal/bitcoin"
	"ailee-recovery/internal/datadir"
)

// Setting is what a plan needs to know in addition to the facts.
type Setting struct {
	DataDir   string // as the operator named it, absolute
	BackupDir string
	Unit      string // the node's unit, as systemctl takes it
	URL       string // of the Bitcoin node, "" if none was named
	// Login are the flags that say how to log in there.
	Login []string
	// Flags are the flags with which other commands find the same data and backups.
	Flags []string
	Root  bool      // the operator is root
	Now   time.Time // when the run began
}

// Step is one thing to do.
type Step struct {
	Number  int
	Text    string   // what it is for, in one or two sentences
	Command []string // to be pasted; nil if there is none
	Loses   string   // what it loses, "" for nothing
	Why     string   // why this way, "" if there is no other
	Stopped bool     // the node must be stopped
	Expect  []int    // exit statuses after which to go on
	Manual  bool     // the operator must decide, or act elsewhere
}

// Plan is what to do.
type Plan struct {
	Steps   []Step
	Loses   string // in total, except for block hashes; "" for nothing
	Blocks  uint64 // number of block hashes that are lost, which Bitcoin has
	Stops   bool   // it stops the node
	Instead *Alternative
	// Consider is advice that costs money or needs judgement. It never changes the exit status.
	Consider []Advice
	// LastResort is for when nothing else is left. LastResortLoses is printed before it.
	LastResort      []Step
	LastResortLoses string
	// Again says when to look again if there is nothing to do until then. It is a step without
	// a number.
	Again *Step
}

// Advice is something to think about, with a command if there is one.
type Advice struct {
	Text    string
	Command []string
}

// Alternative is the next best way.
type Alternative struct {
	Command []string
	Loses   string
}

// planner makes a plan.
type planner struct {
	Setting
	v    *datadir.View
	plan Plan

	snapshots, database repair
	sync                *Step
	room                string // folder for recovered data
}

// stamp is the layout of times in file names, in UTC.
const stamp = "20060102_150405"

// MakePlan makes a plan from the facts of a view. It reads nothing else.
func MakePlan(v *datadir.View, s Setting) Plan {
	p := &planner{Setting: s, v: v}
	p.make()
	for i := range p.plan.Steps {
		p.plan.Steps[i].Number = i + 1
	}
	for i := range p.plan.LastResort {
		p.plan.LastResort[i].Number = i + 1
	}
	return p.plan
}

func (p *planner) make() {
	switch {
	case p.v.Is(datadir.DataDir, datadir.Wrong):
		p.manual("%s. Mount its disk, or name another folder with --data-dir. Do not create a new one: it would hide the data.", sentence(p.v.Fact(datadir.DataDir).Text))
		return
	case p.v.Is(datadir.DataDir, datadir.CouldNot):
		p.again("Look again as root, or as the owner of the data")
		return
	case p.v.Is(datadir.DataHolders, datadir.Wrong):
		p.stopWriters()
		p.end()
		return
	case p.leftover(datadir.RestoreLeft) != nil:
		p.stopHolders("an interrupted restore is going to be completed")
		p.readOnly()
		undo := p.attributes(true, true)
		p.rights()
		p.add(Step{Text: "Complete the interrupted restore.", Command: p.own("ailee-restore"), Stopped: true})
		p.add(undo...)
		p.end()
		return
	}
	p.room = filepath.Join(p.DataDir, "recovery_"+p.Now.UTC().Format(stamp))
	p.decide()
	p.assemble()
	p.considerAll()
	p.conclude()
}

// decide decides what to do with each part.
func (p *planner) decide() {
	p.snapshots = p.decideSnapshots()
	p.database = p.decideDatabase()
	p.sync = p.decideSync()
}

// assemble puts the steps in order.
func (p *planner) assemble() {
	if p.v.Is(datadir.DataClock, datadir.Wrong) {
		p.manual("Set the clock, for example with timedatectl: %s.", p.v.Fact(datadir.DataClock).Text)
	}
	send := p.decideSend()
	replaced := p.snapshots.replaces() || p.database.replaces()
	stops := replaced || p.sync != nil || len(send) > 0 || p.database.how == repairHeights
	if stops {
		p.stopHolders(p.stopReason(send))
	}
	p.readOnly()
	// A backup that shares the inode of the live file is replaced by the next backup.
	shared := p.v.Is(datadir.SnapshotsNames, datadir.Wrong)
	undo := p.attributes(replaced || p.snapshots.how == tail || shared, len(send) > 0 || p.v.Is(datadir.DataSpace, datadir.Wrong))
	p.rights()
	p.fixSpace()
	p.outside()
	if p.needsSaving(send) {
		p.add(Step{Text: "Back up first: the database is going to be changed, and no backup has all of it.", Command: p.own("ailee-backup", "--db-only")})
	}
	if p.snapshots.how == tail && !stops {
		p.endWriters()
	}
	room := Step{Text: "Make a folder for what is recovered.", Command: p.makeRoom()}
	early := p.extracts(send) || p.discards()
	if early {
		p.add(room)
	}
	if p.extracts(send) {
		p.add(send[0]) // before a prune changes the number of the snapshot
		send = send[1:]
	}
	if p.snapshots.how == tail {
		p.addTail()
	}
	if !early && (p.snapshots.gathers() || p.database.gathers()) {
		p.add(room)
	}
	p.addGathering()
	p.addReplacement()
	if p.database.how == repairHeights {
		p.add(Step{Text: "Move the block hashes to their heights.", Stopped: true,
			Command: append([]string{"ailee_resync_blocks", "--repair-heights", "--db-path", p.databasePath()}, p.bitcoinFlags()...)})
	}
	if p.sync != nil {
		p.add(*p.sync)
	}
	p.add(send...)
	if !shared {
		p.add(undo...)
	}
	p.start()
	p.names()
	p.save(replaced || stops || p.snapshots.how == tail)
	if shared {
		p.add(undo...)
	}
	if len(p.plan.Steps) > 0 {
		p.end()
	}
}

// makeRoom returns the command that makes the folder for recovered data. The tools drop root's
// rights and work as the owner of the data, who must be able to write there.
func (p *planner) makeRoom() []string {
	if o := p.v.Owners; p.Root && o != nil && o.UID != 0 {
		return []string{"install", "-d", "-m", "750", "-o", p.ownerPart(0), "-g", p.ownerPart(1), p.room}
	}
	return []string{"mkdir", "-m", "750", p.room}
}

// ownerPart returns the node's user (0) or its group (1).
func (p *planner) ownerPart(i int) string { return strings.SplitN(p.v.Owners.User, ":", 2)[i] }

// add adds steps. A step that names no exit statuses expects 0.
func (p *planner) add(steps ...Step) {
	for _, s := range steps {
		if s.Expect == nil && s.Command != nil {
			s.Expect = []int{0}
		}
		p.plan.Steps = append(p.plan.Steps, s)
	}
}

// manual adds a step without a command.
func (p *planner) manual(format string, args ...any) {
	p.add(Step{Text: fmt.Sprintf(format, args...), Manual: true})
}

// own returns a command on the data directory, with the flags that the operator gave.
func (p *planner) own(command ...string) []string { return slices.Concat(command, p.Flags) }

// end adds the last step, which runs ailee-doctor again.
func (p *planner) end() { p.add(Step{Text: "Look again.", Command: p.doctor()}) }

// doctor returns this command.
func (p *planner) doctor() []string {
	command := p.own("ailee-doctor")
	if p.URL != "" {
		command = append(command, p.bitcoinFlags()...)
	}
	return command
}

// bitcoinFlags returns the flags that name the Bitcoin node and its login.
func (p *planner) bitcoinFlags() []string {
	return slices.Concat([]string{"--bitcoin-rpc", p.url()}, p.Login)
}

// again makes a plan that only says when to look again.
func (p *planner) again(when string) {
	p.plan.Again = &Step{Text: when, Command: p.doctor(), Expect: []int{0}}
}

func (p *planner) url() string {
	if p.URL == "" {
		return bitcoin.DefaultURL
	}
	return p.URL
}

func (p *planner) file() string         { return filepath.Join(p.DataDir, "l2_snapshots.dat") }
func (p *planner) databasePath() string { return filepath.Join(p.DataDir, "reorg_db") }

// stopCommands returns the commands that stop every process that has the data open, and that
// keep systemd from starting the node again meanwhile. A filter limits them to the processes
// for which it returns true.
func (p *planner) stopCommands(only func(datadir.Holder) bool) (commands [][]string) {
	h := p.v.Holders
	if h == nil {
		return nil
	}
	seen := map[string]bool{}
	stop := func(command ...string) {
		if key := strings.Join(command, " "); !seen[key] {
			seen[key] = true
			commands = append(commands, command)
		}
	}
	// systemd keeps restarting a node that cannot start.
	if h.Installed && only == nil {
		stop("systemctl", "stop", p.Unit)
	}
	for _, process := range h.Processes {
		switch {
		case only != nil && !only(process), process.PID == 0:
		case process.Unit == h.Unit:
			stop("systemctl", "stop", p.Unit)
		case process.Unit != "":
			stop("systemctl", "stop", strings.TrimSuffix(process.Unit, ".service"))
		default:
			stop("kill", fmt.Sprint(process.PID))
		}
	}
	return commands
}

// stopHolders adds the steps that stop every process that has the data open.
func (p *planner) stopHolders(why string) {
	commands := p.stopCommands(nil)
	for _, command := range commands {
		text := "Stop the node: " + why + "."
		if command[0] == "kill" || command[2] != p.Unit {
			text = fmt.Sprintf("End %s, which has the data open: %s.", p.holderOf(command), why)
		}
		p.add(Step{Text: text, Command: command})
	}
	if p.v.Holders != nil {
		for _, process := range p.v.Holders.Processes {
			if process.PID == 0 {
				p.manual("Stop %s, which has %s open: %s.", process.Command, process.Path, why)
			}
		}
	}
	p.plan.Stops = true
}

// endWriters ends the processes that keep the snapshot file open for writing, which no node
// does: a prune in place waits for writers.
func (p *planner) endWriters() {
	if p.v.Holders == nil {
		return
	}
	commands := p.stopCommands(func(h datadir.Holder) bool {
		return h.Part == datadir.SnapshotKind && h.Writes && h.Unit != p.v.Holders.Unit
	})
	for _, command := range commands {
		p.add(Step{Text: fmt.Sprintf("End %s, which keeps the snapshot file open: a prune would wait for it.", p.holderOf(command)), Command: command})
	}
}

// holderOf names the process that a command stops.
func (p *planner) holderOf(command []string) string {
	for _, process := range p.v.Holders.Processes {
		if command[0] == "kill" && fmt.Sprint(process.PID) == command[1] {
			return process.Command
		}
	}
	return command[len(command)-1]
}

// stopWriters is the whole plan while two processes write, or one whose LOCK was removed:
// every other fact may change at any time.
func (p *planner) stopWriters() {
	writes := func(h datadir.Holder) bool { return h.Writes }
	for _, command := range p.stopCommands(writes) {
		text := "Stop the node: another process writes to the data too, and nothing else can be judged until then."
		if p.v.Holders.Removed {
			text = "Stop the node: its LOCK is gone, and nothing keeps another writer out."
		}
		if command[0] == "kill" || command[2] != p.Unit {
			text = fmt.Sprintf("End %s, which writes to the data.", p.holderOf(command))
		}
		p.add(Step{Text: text, Command: command})
	}
	for _, process := range p.v.Holders.Processes {
		if process.PID == 0 && process.Writes {
			p.manual("Stop %s, which has %s open.", process.Command, process.Path)
		}
	}
	p.plan.Stops = true
}

// stopReason says why the node is stopped.
func (p *planner) stopReason(send []Step) string {
	switch {
	case p.snapshots.replaces() && p.database.replaces():
		return "both parts are going to be replaced"
	case p.snapshots.replaces():
		return "the snapshot file is going to be replaced"
	case p.database.replaces():
		return "the database is going to be replaced"
	case p.sync == nil && len(send) > 0:
		return "the broadcast needs the database"
	}
	return "the database is going to be changed"
}

// stopsNode reports whether a step stops the node.
func (p *planner) stopsNode(s Step) bool {
	return slices.Equal(s.Command, []string{"systemctl", "stop", p.Unit})
}

// start starts the node, if the plan stopped it.
func (p *planner) start() {
	if slices.ContainsFunc(p.plan.Steps, p.stopsNode) {
		p.add(Step{Text: "Start the node.", Command: []string{"systemctl", "start", p.Unit}})
	}
}

// leftover returns the first leftover of a kind, nil for none.
func (p *planner) leftover(kind datadir.LeftoverKind) *datadir.Leftover {
	if p.v.Leftovers == nil {
		return nil
	}
	for i := range p.v.Leftovers.Found {
		if p.v.Leftovers.Found[i].Kind == kind {
			return &p.v.Leftovers.Found[i]
		}
	}
	return nil
}

// sentence returns the text with a capital first letter.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
