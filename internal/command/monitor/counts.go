package monitor

import (
	"fmt"
	"strings"
	"time"

	"ailee-recovery/internal/backups"
	"ailee-recovery/internal/datadir"
)

// compareWithBefore compares counts with the highest that earlier runs have seen, and makes the
// state for the next run.
func (r *run) compareWithBefore() {
	before := r.before
	r.next = newState(r.dir)
	n := r.next
	n.At, n.Runs = r.now, before.Runs+1
	n.SnapshotFileBytes, n.ReorgDBBytes = r.sizes.snapshotFile, r.sizes.reorgDB
	n.Prune = before.Prune
	explained := map[thing]bool{}
	if len(r.notes) > 0 {
		last := r.notes[len(r.notes)-1]
		n.Prune = last.Time + " " + last.FirstKept
		explained[snapshots] = n.Prune != before.Prune
	}
	for _, kind := range backups.Kinds {
		if before.Accepted[kind] != "" {
			n.Accepted[kind] = before.Accepted[kind]
		}
		if r.backups == nil {
			continue
		}
		if given := accepted(r.backups.dir.Catalogue, kind); given != "" && given != before.Accepted[kind] {
			n.Accepted[kind] = given
			explained[snapshots] = explained[snapshots] || kind == backups.Snapshots
			explained[anchors] = explained[anchors] || kind == backups.Database
			explained[events] = explained[anchors]
		}
	}
	for _, t := range []struct {
		thing     thing
		part, one string
	}{{snapshots, "l2_snapshots.dat", "valid snapshot"}, {anchors, "reorg_db", "anchor"}, {events, "reorg_db", "reorg event"}} {
		highest, seenBefore := before.Most[t.thing]
		now, known := r.count(t.thing)
		switch {
		case !known:
			if seenBefore {
				n.Most[t.thing] = highest
			}
			continue
		case seenBefore && now < highest.Count && !explained[t.thing]:
			n.Most[t.thing] = highest
			r.alarm(shrunk, r.doctor(), "%s has %s, %d at %s UTC", t.part, count(now, t.one), highest.Count, highest.At.Format(time.DateTime))
			continue
		}
		n.Most[t.thing] = most{now, r.now}
	}
	r.keepBackups()
}

// count returns how many there are now. They are not known if they could not be counted, or if
// damage, which is reported separately, hides some of them.
func (r *run) count(t thing) (n int64, known bool) {
	switch all, records := r.view.AllSnapshots, r.view.Records; {
	case t == snapshots && all != nil:
		return all.Valid, true
	case t == snapshots || records == nil || r.wrong(datadir.DBDamage) != nil:
		return 0, false
	case t == anchors:
		return int64(records.AnchorCount()), true
	default:
		return int64(records.Events), true
	}
}

func count(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// accepted identifies the accepted losses of a kind by a text that changes with each new one.
func accepted(c *backups.Catalogue, kind backups.Kind) string {
	var all []string
	for _, l := range c.Losses {
		if l.Kind == kind && l.State == backups.Accepted {
			all = append(all, fmt.Sprintf("%d-%d", l.Line, l.Since))
		}
	}
	return strings.Join(all, " ")
}

// keepBackups remembers what was found in each backup, and which one is next in turn.
func (r *run) keepBackups() {
	if r.backups == nil {
		r.next.Backups, r.next.Next = r.before.Backups, r.before.Next
		return
	}
	for _, e := range r.backups.entries {
		if r.looked(e) {
			r.next.Backups[e.Name] = e.last
		}
	}
	if next := r.backups.inTurn(); next != nil {
		r.next.Next = next.Name
	}
}
