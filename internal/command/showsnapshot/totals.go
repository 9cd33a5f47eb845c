package showsnapshot

import (
	"context"

	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/snapshot"
)

// sums are the sums of one section. Which of the fields are used depends on the section.
type sums struct {
	count, locked uint64
	amount        snapshottool.Sum // of the balances, or of the locked escrows
	// byStatus has the sums of the pegs with each status that nodes write, and of all others.
	byStatus [int(snapshot.PegEmergencyRecovery) + 2]pegSums
}

type pegSums struct {
	count            uint64
	amount, released snapshottool.Sum
}

func (p *pegSums) add(q pegSums) {
	p.count += q.count
	p.amount.AddSum(q.amount)
	p.released.AddSum(q.released)
}

// otherStatus is the index for the statuses that nodes do not write.
const otherStatus = int(snapshot.PegEmergencyRecovery) + 1

// add counts a record. It takes the numbers in file order, so that millions of records need
// not be copied.
func (t *sums) add(rec snapshot.Record) {
	t.count++
	switch n := rec.Numbers(); rec.Section() {
	case snapshot.Balances:
		t.amount.Add(n[0])
	case snapshot.Escrows:
		if amount, locked := n[0], n[1]; locked != 0 {
			t.locked++
			t.amount.Add(amount)
		}
	case snapshot.PegIns:
		amount, status := n[1], n[2]
		t.peg(status).amount.Add(amount)
	case snapshot.PegOuts:
		burned, released, status := n[0], n[1], n[2]
		p := t.peg(status)
		p.amount.Add(burned)
		p.released.Add(released)
	}
}

// peg counts a peg-in or peg-out, and returns the sums for its status.
func (t *sums) peg(stored uint64) *pegSums {
	i := otherStatus
	if status := snapshot.PegStatus(stored); status.Known() {
		i = int(status)
	}
	t.byStatus[i].count++
	return &t.byStatus[i]
}

// open sums up the pegs that are neither done nor failed.
func (t *sums) open() (all pegSums) {
	for i, p := range t.byStatus {
		if snapshot.PegStatus(i).Open() {
			all.add(p)
		}
	}
	return all
}

// totals prints the sums that were asked for.
func (s *showing) totals(ctx context.Context) error {
	all := map[string]any{}
	for _, section := range s.Sections {
		t := &sums{}
		for rec, err := range s.each(ctx, section) {
			if err != nil {
				return err
			}
			t.add(rec)
		}
		s.count += t.count
		all[section.String()] = t.document(section)
		t.print(s, section)
	}
	return s.line(totalsDocument{all})
}

func (t *sums) print(s *showing, section snapshot.Section) {
	s.out.Printf("%-14s  %d", titles[section]+":", t.count)
	open := t.open()
	switch section {
	case snapshot.Balances:
		s.out.Printf(", %s in all", t.amount.Big())
	case snapshot.Escrows:
		s.out.Printf(", %d of them locked, %s in all", t.locked, t.amount.Big())
	case snapshot.PegIns:
		s.out.Printf(", %d of them open, %s in all", open.count, open.amount.Big())
	case snapshot.PegOuts:
		s.out.Printf(", %d of them open, %s to be released", open.count, open.released.Big())
	}
	s.out.Printf("\n")
	for i, p := range t.byStatus {
		if p.count == 0 {
			continue
		}
		amount := &p.amount
		if section == snapshot.PegOuts {
			amount = &p.released
		}
		s.out.Printf("  %-20s  %12d  %20s\n", statusName(i), p.count, amount.Big())
	}
}

// statusName returns the name for an index in [sums.byStatus].
func statusName(i int) string {
	if i == otherStatus {
		return "other"
	}
	return snapshot.PegStatus(i).String()
}

func (t *sums) document(section snapshot.Section) any {
	open := t.open()
	switch section {
	case snapshot.Balances:
		return balanceTotals{t.count, t.amount.Big()}
	case snapshot.Escrows:
		return escrowTotals{t.count, t.locked, t.amount.Big()}
	case snapshot.PegIns:
		return pegInTotals{t.count, open.count, open.amount.Big(), t.statuses(section)}
	case snapshot.PegOuts:
		return pegOutTotals{t.count, open.count, open.amount.Big(), open.released.Big(), t.statuses(section)}
	}
	return taskTotals{t.count}
}

// statuses returns the statuses that occur.
func (t *sums) statuses(section snapshot.Section) []statusDocument {
	all := []statusDocument{}
	for i, p := range t.byStatus {
		if p.count == 0 {
			continue
		}
		d := statusDocument{Status: statusName(i), Open: snapshot.PegStatus(i).Open(), Count: p.count}
		if section == snapshot.PegIns {
			d.Sum = p.amount.Big()
		} else {
			d.BurnedSum, d.ReleasedSum = p.amount.Big(), p.released.Big()
		}
		all = append(all, d)
	}
	return all
}
