package doctor

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"ailee-recovery/internal/datadir"
)

// conclude sets what the plan loses in total, the next best way, and when to look again.
func (p *planner) conclude() {
	s, d := p.snapshots, p.database
	p.plan.Loses = join(s.loses.text(p.Now), d.loses.text(p.Now))
	p.plan.Blocks = d.loses.blocks
	p.plan.Instead = cmp.Or(s.instead, d.instead)
	if s.how == lost || d.how == lost {
		p.lastResort(s.how == lost, d.how == lost)
	}
	if s.how == hidden || d.how == hidden {
		p.visible()
	}
	if len(p.plan.Steps) == 0 && p.plan.LastResort == nil && p.v.ExitCode() == 1 {
		p.again(p.waitFor())
	}
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + ", and " + b
}

// visible adds the step without which nothing can be planned: to make the backups readable.
func (p *planner) visible() {
	f := p.v.Fact(datadir.BackupsCover)
	if f == nil || f.State != datadir.CouldNot {
		f = p.v.Fact(datadir.BackupsFolder)
	}
	if p.v.BackupFolder != nil && p.v.BackupFolder.NotMounted || f == nil {
		return // there is a step for that
	}
	p.plan.Steps = append([]Step{{Text: fmt.Sprintf("Make the backups readable, since everything else depends on them: %s.", f.Text), Manual: true}}, p.plan.Steps...)
	if n := len(p.plan.Steps); len(p.plan.Steps[n-1].Command) == 0 {
		p.end()
	}
}

// waitFor says when to look again.
func (p *planner) waitFor() string {
	if b := p.v.BitcoinState; b != nil {
		switch b.Trouble {
		case datadir.Syncing:
			return "Look again when Bitcoin has caught up"
		case datadir.OldTip:
			return "Look again when Bitcoin has a new block"
		case datadir.Unreachable, datadir.Loading:
			return "Look again when Bitcoin answers"
		case datadir.Unauthorized:
			return "Look again with the login of the Bitcoin node, see --rpc-cookie-file"
		case datadir.OtherChain:
			return "Check the URL: this Bitcoin node is on another network than the database and all backups. Look again with the right URL"
		}
	}
	if f := p.v.BackupFolder; f != nil && f.NotMounted {
		return "Look again when the backups are mounted"
	}
	return "Look again when that can be checked, perhaps as root"
}

// lastResort adds the steps for parts of which no source has anything.
func (p *planner) lastResort(snapshots, database bool) {
	var steps []Step
	add := func(s Step) {
		if s.Expect == nil {
			s.Expect = []int{0}
		}
		steps = append(steps, s)
	}
	for _, command := range p.stopCommands(nil) {
		add(Step{Text: "Stop the node.", Command: command})
	}
	aside := func(kind datadir.Kind, path string) {
		add(Step{Text: "Move aside what is there.", Command: []string{"mv", path, filepath.Join(p.room, filepath.Base(path))}, Stopped: true})
	}
	fileThere := p.v.SnapshotForm != nil && p.v.SnapshotForm.Form != datadir.MissingForm
	databaseThere := p.v.DatabaseForm != nil && p.v.DatabaseForm.Form != datadir.MissingFolder
	if snapshots && fileThere || database && databaseThere {
		add(Step{Text: "Make a folder for what is there.", Command: p.makeRoom()})
	}
	if snapshots && fileThere {
		aside(datadir.SnapshotKind, p.file())
	}
	if database && databaseThere {
		aside(datadir.DatabaseKind, p.databasePath())
	}
	if snapshots {
		p.plan.LastResortLoses = "All L2 state is lost. Do this only if every backup is bad, nothing can be recovered, the federation agrees, and users have been told."
		add(Step{Text: "Start from nothing.", Command: []string{"ailee_init_node", "--data-dir", p.DataDir, "--if-missing"}, Stopped: true})
	} else {
		anchors := "all anchors and reorg events"
		if all := p.v.AllSnapshots; all != nil {
			anchors = fmt.Sprintf("the records of all anchors (the snapshot file has %d) and all reorg events", all.Valid)
		}
		p.plan.LastResortLoses = "This loses " + anchors + ". Do this only if every backup is bad and nothing can be recovered."
		add(Step{Text: "Make a database without anchors or events.", Command: []string{"ailee_init_reorg_db", "--path", p.databasePath()}, Stopped: true})
		add(Step{Text: "Fetch the block hashes.", Stopped: true, Command: append([]string{"ailee_resync_blocks",
			"--start-height", fmt.Sprint(p.firstHeight()), "--db-path", p.databasePath()}, p.bitcoinFlags()...)})
	}
	if p.v.Holders != nil && slices.ContainsFunc(steps, p.stopsNode) {
		add(Step{Text: "Start the node.", Command: []string{"systemctl", "start", p.Unit}})
	}
	add(Step{Text: "Look again.", Command: p.doctor()})
	p.plan.LastResort = steps
}
