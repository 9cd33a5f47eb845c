package doctor

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"ailee-recovery/internal/cli"
	"ailee-recovery/internal/datadir"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
)

// columns is the width of the output.
const columns = 79

// textColumn is the column at which the text of a fact begins, after its state and its name.
const textColumn = 22

// group is a number of facts that share a line.
type group struct {
	name  string
	codes []datadir.Code
	// text returns the text of the line, and the facts which that text covers.
	text func(*datadir.View) (text string, said []datadir.Code)
}

var groups = []group{
	{"node", []datadir.Code{datadir.DataHolders}, nodeText},
	{"snapshot file", []datadir.Code{datadir.SnapshotsForm, datadir.SnapshotsLatest, datadir.SnapshotsAll, datadir.SnapshotsTail, datadir.SnapshotsHidden,
		datadir.SnapshotsPegOuts, datadir.SnapshotsNames}, fileText},
	{"database", []datadir.Code{datadir.DBForm, datadir.DBDamage, datadir.DBRecords, datadir.DBHeights}, databaseText},
	{"agreement", []datadir.Code{datadir.AgreeLatest, datadir.AgreeAll, datadir.DataBroadcast}, agreementText},
	{"backups", []datadir.Code{datadir.BackupsFolder, datadir.BackupsNewest, datadir.BackupsOlder, datadir.BackupsCover, datadir.BackupsNames}, backupsText},
	{"Bitcoin", []datadir.Code{datadir.BitcoinNode, datadir.BitcoinBlocks, datadir.BitcoinAnchors}, bitcoinText},
	{"machine", []datadir.Code{datadir.DataDir, datadir.DataOwner, datadir.DataMount, datadir.DataSpace, datadir.DataLeftovers, datadir.DataCopies, datadir.DataClock}, machineText},
}

// shortNames are the names of facts in their own lines.
var shortNames = map[datadir.Code]string{
	datadir.DataDir: "folder", datadir.DataOwner: "owner", datadir.DataMount: "mount", datadir.DataSpace: "space", datadir.DataHolders: "processes",
	datadir.DataLeftovers: "left over", datadir.DataCopies: "copies", datadir.DataBroadcast: "broadcast", datadir.DataClock: "clock",
	datadir.SnapshotsForm: "form", datadir.SnapshotsLatest: "latest", datadir.SnapshotsAll: "all", datadir.SnapshotsTail: "torn tail",
	datadir.SnapshotsHidden: "hidden", datadir.SnapshotsPegOuts: "peg-outs", datadir.SnapshotsNames: "names",
	datadir.DBForm: "form", datadir.DBDamage: "damage", datadir.DBRecords: "records", datadir.DBHeights: "heights",
	datadir.AgreeLatest: "latest", datadir.AgreeAll: "all",
	datadir.BackupsFolder: "folder", datadir.BackupsNewest: "newest", datadir.BackupsOlder: "older", datadir.BackupsCover: "lacks", datadir.BackupsNames: "names",
	datadir.BitcoinNode: "node", datadir.BitcoinBlocks: "blocks", datadir.BitcoinAnchors: "anchors",
}

// print prints the facts and the plan.
func (d *diagnosis) print(out *cli.IO) {
	v := d.view
	out.Printf("%s at %s UTC\n\n", d.DataDir, v.At.Format(time.DateTime))
	for _, g := range groups {
		out.Printf("%s", g.lines(v))
	}
	out.Printf("\n%s", d.planText())
}

// lines returns the line of the group, and one for each fact that is not sound and that the
// group's line does not cover.
func (g group) lines(v *datadir.View) string {
	state, there := datadir.Sound, false
	for _, code := range g.codes {
		if f := v.Fact(code); f != nil {
			state, there = max(state, f.State), true
		}
	}
	text, said := g.text(v)
	if !there {
		return line("-", g.name, text)
	}
	var b strings.Builder
	b.WriteString(line(mark(state), g.name, text))
	for _, code := range g.codes {
		f := v.Fact(code)
		if f == nil || contains(said, code) {
			continue
		}
		switch {
		case f.State != datadir.Sound:
			b.WriteString(line(mark(f.State), "  "+shortNames[code], f.Text))
		case f.Remark != "":
			b.WriteString(line(mark(f.State), "  "+shortNames[code], f.Remark))
		}
	}
	return b.String()
}

func contains(codes []datadir.Code, code datadir.Code) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

func mark(s datadir.State) string {
	return map[datadir.State]string{datadir.Sound: "ok", datadir.CouldNot: "?", datadir.Wrong: "WRONG"}[s]
}

// line formats the line of a group or of a fact.
func line(mark, name, text string) string {
	return fmt.Sprintf("%-7s%-15s%s\n", mark, name, strings.Join(wrap(text, columns-textColumn), "\n"+strings.Repeat(" ", textColumn)))
}

// glue stands for a space at which no line may break.
const glue = "\u00a0"

// wrap breaks a text into lines of at most width columns, as far as it can.
func wrap(text string, width int) (lines []string) {
	now := ""
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' }) {
		switch {
		case now == "":
			now = word
		case utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word) > width:
			lines, now = append(lines, now), word
		default:
			now += " " + word
		}
	}
	lines = append(lines, now)
	for i := range lines {
		lines[i] = strings.ReplaceAll(lines[i], glue, " ")
	}
	return lines
}

func fact(v *datadir.View, code datadir.Code) string {
	if f := v.Fact(code); f != nil {
		return f.Text
	}
	return "not checked"
}

func nodeText(v *datadir.View) (string, []datadir.Code) {
	return fact(v, datadir.DataHolders), []datadir.Code{datadir.DataHolders}
}

func fileText(v *datadir.View) (string, []datadir.Code) {
	form, latest, all := v.Fact(datadir.SnapshotsForm), v.Latest, v.AllSnapshots
	switch {
	case form == nil:
		return "not checked", nil
	case form.State != datadir.Sound:
		return form.Text, []datadir.Code{datadir.SnapshotsForm}
	case all == nil && latest == nil:
		return fact(v, datadir.SnapshotsLatest), []datadir.Code{datadir.SnapshotsLatest}
	case all == nil:
		return "latest " + fact(v, datadir.SnapshotsLatest), []datadir.Code{datadir.SnapshotsLatest}
	case all.Complete == 0:
		return "no complete snapshot", []datadir.Code{datadir.SnapshotsLatest}
	case v.Is(datadir.SnapshotsLatest, datadir.Sound):
		return fmt.Sprintf("%s, latest %s", fact(v, datadir.SnapshotsAll), snapshottool.ShortTime(latest.Time.Ms)), nil
	case all.Newest != nil:
		return fmt.Sprintf("%s, newest valid %s", fact(v, datadir.SnapshotsAll), snapshottool.ShortTime(all.Newest.Time.Ms)), nil
	}
	return fact(v, datadir.SnapshotsAll), nil
}

func databaseText(v *datadir.View) (string, []datadir.Code) {
	form, damage, r := v.Fact(datadir.DBForm), v.Damage, v.Records
	switch {
	case form == nil:
		return "not checked", nil
	case form.State != datadir.Sound && (v.DatabaseForm == nil || v.DatabaseForm.Form != datadir.NoCurrent):
		return form.Text, []datadir.Code{datadir.DBForm}
	case damage == nil:
		return fact(v, datadir.DBDamage), []datadir.Code{datadir.DBDamage, datadir.DBRecords}
	case damage.Count > 0 && damage.Tables > 0 && damage.Files > 0:
		return fmt.Sprintf("damaged: %d of %d tables", damage.Files, damage.Tables), nil
	case damage.Count > 0:
		return "damaged", nil
	case r == nil:
		return fact(v, datadir.DBRecords), []datadir.Code{datadir.DBRecords}
	}
	blocks := fmt.Sprintf("%s to %d", number(r.Blocks, "block"), r.Tip)
	if r.Blocks == 0 {
		blocks = "no blocks"
	}
	text := fmt.Sprintf("%s, %s, %s", blocks, number(r.AnchorCount(), "anchor"), number(r.Events, "event"))
	if v.Is(datadir.DBRecords, datadir.Sound) {
		text = "sound: " + text
	}
	return text, nil
}

func number(n uint64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func agreementText(v *datadir.View) (string, []datadir.Code) {
	if v.Fact(datadir.AgreeAll) != nil {
		said := []datadir.Code{datadir.AgreeAll}
		if v.Is(datadir.AgreeAll, datadir.Wrong) && v.AgreeAll != nil {
			return fmt.Sprintf("%d of %d anchors of the snapshot file are recorded", v.AgreeAll.Recorded, v.AgreeAll.Anchors), nil
		}
		return fact(v, datadir.AgreeAll), said
	}
	return "not checked: one of the parts is missing or not sound", nil
}

// ago formats an age as operators say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than 1 min"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func backupsText(v *datadir.View) (string, []datadir.Code) {
	f, n := v.BackupFolder, v.NewestBackups
	if f == nil || !f.Exists {
		return fact(v, datadir.BackupsFolder), []datadir.Code{datadir.BackupsFolder}
	}
	text := fmt.Sprintf("%d and %d", f.Snapshots, f.Databases)
	switch {
	case n == nil:
		return text, nil
	case n.Snapshots == nil && n.Database == nil:
		return text + ", none of them sound", nil
	case n.Snapshots == nil || n.Database == nil:
		return text, nil
	case len(n.Wrong) > 0:
		kind, newest := "database", n.Database
		if n.Wrong[0].Kind == datadir.SnapshotKind {
			kind, newest = "file", n.Snapshots
		}
		return fmt.Sprintf("%s, newest sound one of the %s %s old", text, kind, ago(v.At.Sub(newest.Made))), nil
	}
	text += fmt.Sprintf(", newest %s old, sound", ago(v.At.Sub(older(n.Snapshots.Made, n.Database.Made))))
	if v.Is(datadir.BackupsCover, datadir.Sound) {
		text += ", lacks nothing"
	}
	return text, nil
}

func older(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func bitcoinText(v *datadir.View) (string, []datadir.Code) {
	b := v.BitcoinState
	if b == nil {
		return "not asked (--bitcoin-rpc URL)", nil
	}
	said := []datadir.Code{datadir.BitcoinNode}
	switch b.Trouble {
	case "":
		return fmt.Sprintf("%s, block %d of %s", b.Chain, b.Height, b.TipTime.Format(time.DateTime)), said
	case datadir.Syncing:
		return fmt.Sprintf("%s is still syncing: block %d%sof%s%d", b.URL, b.Height, " ", glue, b.Headers), said
	case datadir.OldTip:
		return fmt.Sprintf("%s has an old tip: block %d of %s", b.URL, b.Height, b.TipTime.Format(time.DateTime)), said
	case datadir.Loading:
		return b.URL + " is starting", said
	}
	return fact(v, datadir.BitcoinNode), said
}

func machineText(v *datadir.View) (string, []datadir.Code) {
	if f := v.Fact(datadir.DataDir); f != nil && f.State != datadir.Sound {
		return f.Text, []datadir.Code{datadir.DataDir}
	}
	return fact(v, datadir.DataSpace), []datadir.Code{datadir.DataSpace}
}

// planText returns what to do.
func (d *diagnosis) planText() string {
	var b strings.Builder
	p := d.plan
	switch code := d.view.ExitCode(); {
	case len(p.Steps) > 0:
		b.WriteString(paragraph("", p.summary()))
	case p.LastResort != nil:
		b.WriteString(paragraph("", "What to do: there is nothing to recover from, neither here nor in a backup. Look for copies elsewhere first."))
	case code == 0:
		b.WriteString("Healthy. Nothing to do.\n")
	case code == 1:
		b.WriteString(paragraph("", "Could not look at everything. Nothing that was looked at is wrong."))
	case len(p.Consider) > 0:
		b.WriteString(paragraph("", "What is wrong cannot be repaired yet."))
	default:
		b.WriteString(paragraph("", "No command can repair what is wrong."))
	}
	if p.Again != nil {
		b.WriteString(paragraph("", p.Again.Text+":"))
		b.WriteString("\n" + commandText(p.Again.Command))
	}
	for _, s := range p.Steps {
		b.WriteString("\n" + s.lines())
	}
	if p.Instead != nil {
		b.WriteString("\n" + p.Instead.lines())
	}
	for _, a := range p.Consider {
		if a.Command == nil {
			b.WriteString("\n" + paragraph("", "Consider: "+a.Text))
			continue
		}
		b.WriteString("\n" + paragraph("", "Consider: "+a.Text+":") + "\n" + commandText(a.Command))
	}
	if p.LastResort != nil {
		b.WriteString("\nLast resort\n\n" + paragraph("", p.LastResortLoses))
		for _, s := range p.LastResort {
			b.WriteString("\n" + s.lines())
		}
	}
	if d.view.ExitCode() != exit.OK {
		b.WriteString("\nThe reasons, and how to do it by hand: man 7 ailee-recovery\n")
	}
	return b.String()
}

// lines returns the lines of the next best way. Its command is not wrapped like text.
func (a *Alternative) lines() string {
	if text := fmt.Sprintf("Instead: %s. Loses %s.", exit.Command(a.Command...), a.Loses); len(text) <= columns {
		return text + "\n"
	}
	return paragraph("", fmt.Sprintf("Instead, with the loss of %s:", a.Loses)) + "\n" + commandText(a.Command)
}

// summary returns the first sentences of a plan.
func (p Plan) summary() string {
	text := "What to do: " + number(uint64(len(p.Steps)), "step") + "."
	if p.Stops {
		text += " Stop the node."
	} else {
		text += " The node may keep running."
	}
	blocks := ""
	switch {
	case p.Blocks == 1:
		blocks = "1 block hash, which Bitcoin has"
	case p.Blocks > 1:
		blocks = fmt.Sprintf("%d block hashes, which Bitcoin has", p.Blocks)
	}
	switch {
	case p.Loses != "" && blocks != "":
		text += fmt.Sprintf(" Loses %s; and %s.", p.Loses, blocks)
	case p.Loses != "":
		text += fmt.Sprintf(" Loses %s.", p.Loses)
	case blocks != "":
		text += fmt.Sprintf(" Loses nothing but %s.", blocks)
	default:
		text += " Nothing is lost."
	}
	return text
}

// lines returns the lines of a step.
func (s Step) lines() string {
	number := fmt.Sprintf("%d. ", s.Number)
	text := s.Text
	if s.Loses != "" {
		text += " Loses " + s.Loses + "."
	}
	out := paragraph(number, text)
	if s.Command != nil {
		out += "\n" + commandText(s.Command)
	}
	return out
}

// paragraph wraps a text, with first before its first line and the others indented to match.
func paragraph(first, text string) string {
	indent := strings.Repeat(" ", len(first))
	return first + strings.Join(wrap(text, columns-len(first)), "\n"+indent) + "\n"
}

// commandText formats a command to be pasted. Lines end in a backslash if the command goes on.
func commandText(command []string) string {
	const indent, more, end = "    ", "        ", " \\"
	var b strings.Builder
	now := indent
	for i, part := range pieces(command) {
		switch {
		case i == 0:
			now += part
		case len(now)+1+len(part)+len(end) > columns:
			b.WriteString(now + end + "\n")
			now = more + part
		default:
			now += " " + part
		}
	}
	return b.String() + now + "\n"
}

// pieces returns the parts of a command between which a line may end: a flag stays with its
// value.
func pieces(command []string) (parts []string) {
	for i := 0; i < len(command); i++ {
		part := exit.Command(command[i])
		if strings.HasPrefix(command[i], "--") && i+1 < len(command) && !strings.HasPrefix(command[i+1], "-") && takesValue(command[i]) {
			i++
			part += " " + exit.Command(command[i])
		}
		if i > 0 && i < len(command)-1 && (command[0] == "mkdir" || command[0] == "install") {
			parts[len(parts)-1] += " " + part
			continue
		}
		parts = append(parts, part)
	}
	return parts
}

// takesValue reports whether a flag in a plan's command takes a value.
func takesValue(flag string) bool {
	switch flag {
	case "--in-place", "--anchors", "--repair-heights", "--broadcast", "--yes", "--snapshot-only", "--db-only", "--force", "--accept-loss",
		"--accept-pruned-anchors", "--all", "--if-missing", "--discard-hidden":
		return false
	}
	return !strings.Contains(flag, "=")
}
