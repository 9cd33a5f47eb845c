package recoversnapshots

import (
	"fmt"
	"strings"

	"ailee-recovery/internal/cli/terminal"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/snapshottool"
)

// document is the JSON result.
type document struct {
	Output      string           `json:"output"`
	DryRun      bool             `json:"dry_run"`
	Snapshots   int64            `json:"count"`
	Bytes       int64            `json:"size"`
	SharedTimes int64            `json:"same_time"` // snapshots with the same time as a different one
	Newest      newestDocument   `json:"newest"`
	Sources     []sourceDocument `json:"sources"`
	ExitCode    int              `json:"exit_code"`
}

// newestDocument is the last snapshot of OUT.
type newestDocument struct {
	File        string `json:"file"`
	Offset      int64  `json:"offset"`
	TimestampMs uint64 `json:"timestamp_ms"`
}

type sourceDocument struct {
	File         string           `json:"file"`
	Size         int64            `json:"size"` // unpacked
	Compressed   bool             `json:"compressed"`
	Damaged      string           `json:"compression_damaged,omitempty"`
	Taken        int64            `json:"taken"`
	TakenBytes   int64            `json:"taken_bytes"`
	Hidden       int64            `json:"hidden"`     // of those taken
	Known        int64            `json:"duplicates"` // the same bytes as one taken from elsewhere
	Torn         int64            `json:"torn"`
	FirstTorn    *int64           `json:"first_torn,omitempty"` // offset
	Invalid      int64            `json:"invalid"`
	FirstInvalid *invalidDocument `json:"first_invalid,omitempty"`
	Dropped      int64            `json:"dropped_bytes"`
	TimesBack    int64            `json:"time_goes_back"` // how often
	FirstBack    *int64           `json:"first_time_goes_back,omitempty"`
}

type invalidDocument struct {
	Offset  int64  `json:"offset"`
	Verdict string `json:"verdict"`
}

func (r *recovery) document(code int) document {
	newest, at := r.latest()
	d := document{
		Output: terminal.Text(durable.Shown(r.Output)), DryRun: r.DryRun, Snapshots: r.plan.snapshots, Bytes: r.plan.bytes, SharedTimes: r.plan.sharedTimes,
		Newest: newestDocument{terminal.Text(newest), at.Offset, r.plan.newest.time}, ExitCode: code,
	}
	for _, s := range r.sources {
		d.Sources = append(d.Sources, s.document())
	}
	return d
}

func (s *source) document() sourceDocument {
	d := sourceDocument{
		File: terminal.Text(s.name), Size: s.in.Size, Compressed: s.in != s.given,
		Taken: s.taken, TakenBytes: s.takenBytes, Hidden: s.hidden, Known: s.known, Torn: s.torn, Invalid: s.invalid, Dropped: s.dropped(), TimesBack: s.timesBack,
	}
	if s.cut != nil {
		d.Damaged = terminal.Text(s.cut.Error())
	}
	if s.torn > 0 {
		d.FirstTorn = &s.firstTorn
	}
	if s.invalid > 0 {
		d.FirstInvalid = &invalidDocument{s.firstInvalid, string(s.firstVerdict)}
	}
	if s.timesBack > 0 {
		d.FirstBack = &s.backFrom
	}
	return d
}

// report prints what was done and what was not. The error it returns is the outcome.
func (r *recovery) report() error {
	err := r.outcome()
	if r.out.JSON() {
		r.out.Document(r.document(exit.Code(err)))
	}
	would, verb := "", "Recovered"
	if r.DryRun {
		would, verb = "would be ", "Would recover"
	}
	for _, s := range r.sources {
		r.out.Printf("%s: %d snapshot(s) %staken, %s%s\n", terminal.Text(s.name), s.taken, would, terminal.Size(s.takenBytes), s.details())
	}
	r.out.Printf("%s %d snapshot(s), %s, to %s\n", verb, r.plan.snapshots, terminal.Size(r.plan.bytes), terminal.Text(durable.Shown(r.Output)))
	newest, at := r.latest()
	r.out.Printf("The latest is from %s, at byte %d of %s\n", snapshottool.Time(r.plan.newest.time), at.Offset, terminal.Text(newest))
	for _, s := range r.sources {
		r.warnOf(s)
	}
	if n := r.plan.sharedTimes; n > 0 {
		r.out.Warn("%d snapshot(s) have the same time as a different one, the earliest at %s: all are kept", n, snapshottool.Time(r.plan.firstShared))
	}
	return err
}

// details says what else is notable about the snapshots of a source.
func (s *source) details() string {
	var parts []string
	if s.hidden > 0 {
		parts = append(parts, fmt.Sprintf("%d of them hidden from nodes", s.hidden))
	}
	if s.known > 0 {
		parts = append(parts, fmt.Sprintf("%d more are duplicates", s.known))
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// warnOfCut warns of a source that could not be unpacked to its end.
func (r *recovery) warnOfCut(s *source) {
	if s.cut != nil {
		r.out.Warn("%s is damaged after %d unpacked bytes; the rest is lost: %s", s.name, s.in.Size, s.cut)
	}
}

// warnOf warns of what was dropped from a source, and of oddities in its order.
func (r *recovery) warnOf(s *source) {
	r.warnOfCut(s)
	if s.timesBack > 0 {
		r.out.Warn("%s: the time goes backward at %d place(s), the first at byte %d: its snapshots keep their order", s.name, s.timesBack, s.backFrom)
	}
	if s.dropped() == 0 {
		return
	}
	var parts []string
	if s.torn > 0 {
		parts = append(parts, fmt.Sprintf("%d torn snapshot(s), the first at byte %d", s.torn, s.firstTorn))
	}
	if s.invalid > 0 {
		parts = append(parts, fmt.Sprintf("%d invalid snapshot(s), the first at byte %d: %s", s.invalid, s.firstInvalid, s.firstVerdict))
	}
	if len(parts) == 0 {
		parts = []string{"bytes outside any snapshot"}
	}
	r.out.Warn("%s: dropped %s: %s", s.name, terminal.Size(s.dropped()), strings.Join(parts, "; "))
}

// outcome returns an error if anything was dropped.
func (r *recovery) outcome() error {
	var dropped, torn, invalid, pegOuts int64
	complete := true
	for _, s := range r.sources {
		dropped += s.dropped()
		torn += s.torn
		invalid += s.invalid
		pegOuts += s.pegOuts
		complete = complete && s.dropped() == 0 && s.cut == nil
	}
	if complete {
		return nil
	}
	hint := "other copies and backups may have what was dropped: name them too, and another OUT"
	switch {
	case pegOuts > 0 && !r.AcceptEarlierAnchors:
		hint = "use --accept-earlier-anchors to accept peg-outs that name the anchor of an earlier snapshot"
	case pegOuts > 0:
		hint = "use --accept-pruned-anchors to accept peg-outs that name anchors dropped by a prune"
	}
	return exit.WrongData(hint, fmt.Errorf("not everything could be recovered: %d torn and %d invalid snapshot(s), %s in all, were dropped", torn, invalid, terminal.Size(dropped)))
}
