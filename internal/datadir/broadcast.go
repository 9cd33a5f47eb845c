package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ailee-recovery/internal/bitcoin/pending"
	"ailee-recovery/internal/printable"
	"ailee-recovery/snapshot"
)

// lookBroadcast checks data-broadcast.
func (l *looker) lookBroadcast(ctx context.Context) error {
	path := pending.File(l.view.Place.Database)
	p, err := pending.Read(path)
	var malformed *pending.MalformedError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.sound(DataBroadcast, nil, "no broadcast was interrupted")
		return nil
	case errors.As(err, &malformed):
		l.view.Broadcast = &Broadcast{Path: path}
		l.wrong(DataBroadcast, l.view.Broadcast, "a broadcast was interrupted, and its file is not one that ailee_create_anchor writes: %v", err)
		return nil
	case err != nil:
		l.couldNot(DataBroadcast, err)
		return nil
	}
	b := &Broadcast{Path: path, Anchor: p.Anchor.Hash, Root: printable.Text(p.Anchor.L2StateRoot), TxID: p.Tx.TxHash().String(), Wallet: printable.Text(p.Wallet)}
	l.view.Broadcast = b
	if h := l.view.Holders; h != nil {
		for _, p := range h.Processes {
			b.Held = b.Held || p.Locks && strings.HasPrefix("ailee_create_anchor", p.Command)
		}
	}
	if l.db != nil {
		_, b.Recorded, err = l.db.Anchor(b.Anchor)
	}
	if err == nil {
		err = l.findRoot(ctx, b)
	}
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		l.couldNotWith(DataBroadcast, b, err)
		return nil
	}
	text := fmt.Sprintf("the broadcast of anchor %s", b.Anchor)
	if b.Held {
		l.sound(DataBroadcast, b, "%s is under way", text)
		return nil
	}
	l.wrong(DataBroadcast, b, "%s was interrupted", text)
	return nil
}

// findRoot looks for the snapshot whose state is being anchored, starting at the newest.
func (l *looker) findRoot(ctx context.Context, b *Broadcast) error {
	if l.file == nil {
		return nil
	}
	checker := snapshot.NewChecker(l.Memory)
	var named []snapshot.Located
	total := int64(0)
	for at, err := range checker.Anchors(ctx, l.file, l.size) {
		if err != nil {
			return err
		}
		total = at.Index
		if at.Anchor != nil && at.Anchor.L2StateRoot == b.Root {
			named = append(named, at.Located)
		}
	}
	for _, at := range slices.Backward(named) {
		report, err := checker.Check(ctx, l.file, at)
		if err != nil {
			return err
		}
		// The anchor may name this root although the state is another. That state would need,
		// and pay for, another transaction.
		if report.Root == b.Root {
			b.Snapshot, b.Latest = at.Index, at.Index == total
			return nil
		}
	}
	return nil
}
