package reorgshow

import (
	"context"
	"errors"
	"slices"

	"ailee-recovery/internal/exit"
	"ailee-recovery/internal/reorgtool"
	"ailee-recovery/internal/snapshottool"
	"ailee-recovery/reorgdb"
)

// errNotAsked says that no node asks for a key, although it begins like the key of a record.
var errNotAsked = errors.New("no node asks for this key")

const (
	anchorFormat = "%-64s  %-17s  %20s  %13s  %7s  %-24s  %-64s  %s\n"
	eventFormat  = "%20s  %20s  %-64s  %-64s  %-20s  %s\n"
	blockFormat  = "%20d  %s\n"
	familyFormat = "%20d  %s\n"
)

var (
	anchorHeading = heading(anchorFormat, "ANCHOR HASH", "STATUS", "BITCOIN HEIGHT", "CONFIRMATIONS", "RETRIES", "BROADCAST", "TRANSACTION", "STATE ROOT")
	eventHeading  = heading(eventFormat, "ID", "HEIGHT", "OLD BLOCK HASH", "NEW BLOCK HASH", "DETECTED", "INVALIDATED ANCHORS")
)

const (
	blockHeading  = "              HEIGHT  BLOCK HASH\n"
	familyHeading = "             RECORDS  COLUMN FAMILY\n"
)

// anchors lists the anchor records.
func (l *listing) anchors(ctx context.Context, db *reorgdb.DB) error {
	for r, err := range db.RecordsOf(ctx, reorgdb.AnchorKind) {
		if err != nil {
			return err
		}
		a, err := reorgdb.ParseAnchor(r.Value)
		if err != nil {
			err = l.unreadable(r.Key, err)
		} else if l.Status == nil || a.Status == *l.Status {
			err = l.row(l.anchorDocument(string(r.Key), a), anchorHeading, anchorFormat, cell(text(a.Hash)), text(a.Status.String()), number(a.BitcoinHeight),
				number(a.Confirmations), number(uint64(a.RetryCount)), milliseconds(a.BroadcastTime), cell(text(a.BitcoinTxID)), cell(text(a.L2StateRoot)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// anchor shows one anchor record, field by field.
func (l *listing) anchor(db *reorgdb.DB) error {
	key := reorgdb.AnchorKey(l.Hash)
	a, ok, err := db.Anchor(l.Hash)
	switch {
	case errors.Is(err, reorgdb.ErrUnreadable):
		return l.unreadable(key, err)
	case err != nil:
		return err
	case !ok:
		return exit.Failf("list the anchors: "+exit.Command(Name, "--db-path", l.DBPath, Anchors), "%s has no anchor %s", l.DBPath, l.Hash)
	}
	if a.Hash != l.Hash && !l.silent {
		l.out.Warn("the record under this hash names anchor %q", a.Hash)
	}
	orphaned := ""
	if l.orphaned(a) {
		orphaned = ", orphaned"
	}
	return l.row(l.anchorDocument(string(key), a), "", `Anchor hash:    %s
Status:         %s%s
Transaction:    %s
Bitcoin height: %d
Confirmations:  %d
Broadcast:      %s (%d ms)
Retries:        %d
State root:     %s
`, text(a.Hash), text(a.Status.String()), orphaned, text(a.BitcoinTxID), a.BitcoinHeight, a.Confirmations,
		milliseconds(a.BroadcastTime), a.BroadcastTime, a.RetryCount, text(a.L2StateRoot))
}

func (l *listing) orphaned(a reorgdb.Anchor) bool {
	return a.Orphaned(uint64(l.out.Now().UnixMilli()))
}

// events lists the reorg events.
func (l *listing) events(ctx context.Context, db *reorgdb.DB) error {
	from := uint64(0)
	if l.Last >= 0 {
		var err error
		if from, err = l.lastEvents(ctx, db); err != nil || l.Last == 0 {
			return err
		}
	}
	for r, err := range db.RecordsOf(ctx, reorgdb.EventKind) {
		if err != nil {
			return err
		}
		kind, id := reorgdb.KeyKind(r.Key)
		if kind == reorgdb.EventKind && id < from {
			continue
		}
		e, err := reorgdb.ParseEvent(id, r.Value)
		switch {
		case kind != reorgdb.EventKind:
			err = l.unreadable(r.Key, errNotAsked)
		case err != nil:
			err = l.unreadable(r.Key, err)
		default:
			d := newEventDocument(string(r.Key), e)
			err = l.row(d, eventHeading, eventFormat, number(e.ID), number(e.Height), cell(d.OldBlockHash), cell(d.NewBlockHash), seconds(e.DetectedAt), d.anchors())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lastEvents returns the id at which the last [Options.Last] events begin. They are a few
// more where events have the same id. It holds about twice as many ids in memory.
func (l *listing) lastEvents(ctx context.Context, db *reorgdb.DB) (from uint64, err error) {
	var ids []uint64
	shorten := func() {
		slices.Sort(ids)
		ids = ids[max(0, len(ids)-l.Last):]
	}
	for r, err := range db.RecordsOf(ctx, reorgdb.EventKind) {
		if err != nil {
			return 0, err
		}
		if kind, id := reorgdb.KeyKind(r.Key); kind == reorgdb.EventKind {
			ids = append(ids, id)
		}
		if len(ids) > 2*l.Last+1000 {
			shorten()
		}
	}
	if shorten(); len(ids) == 0 {
		return 0, nil
	}
	return ids[0], nil
}

// blocks lists the block hashes at the heights.
func (l *listing) blocks(ctx context.Context, db *reorgdb.DB) error {
	for b, err := range db.Blocks(ctx, l.From) {
		if err != nil {
			return err
		}
		if b.Height > l.To {
			break
		}
		if err := l.row(blockDocument{b.Height, text(b.Hash)}, blockHeading, blockFormat, b.Height, cell(text(b.Hash))); err != nil {
			return err
		}
	}
	if missing := l.To - l.From + 1 - l.count; l.count > 0 && missing > 0 && !l.silent {
		l.out.Warn("%d of the heights have no block hash", missing)
	}
	return nil
}

// families lists the column families. It reads all records to count them.
func (l *listing) families(ctx context.Context, db *reorgdb.DB) error {
	for _, name := range db.Families() {
		n := uint64(0)
		for _, err := range db.Records(ctx, name) {
			if err != nil {
				return err
			}
			n++
		}
		if err := l.row(familyDocument{text(name), n}, familyHeading, familyFormat, n, text(name)); err != nil {
			return err
		}
	}
	return nil
}

// seconds formats a time in Unix seconds, as a plain number if it is after the year 9999.
func seconds(s uint64) string {
	if text, ok := reorgtool.UTC(s); ok {
		return text
	}
	return number(s)
}

// milliseconds formats a time in Unix milliseconds in the same way.
func milliseconds(ms uint64) string {
	if text, ok := snapshottool.UTC(ms); ok {
		return text
	}
	return number(ms)
}
