package datadir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ailee-recovery/internal/bitcoin/wallet"
	"ailee-recovery/internal/durable"
	"ailee-recovery/internal/printable"
	"ailee-recovery/snapshot"
)

// maxPending is more than the file of a broadcast has, in bytes.
const maxPending = 1 << 20

// lookBroadcast is data-broadcast.
func (l *looker) lookBroadcast(ctx context.Context) error {
	database := l.view.Place.Database
	path := filepath.Join(filepath.Dir(database), "."+filepath.Base(database)+".anchor-pending")
	b, err := readBroadcast(path)
	if errors.Is(err, fs.ErrNotExist) {
		l.sound(DataBroadcast, nil, "no broadcast was broken off")
		return nil
	}
	if errors.Is(err, errMalformed) {
		l.view.Broadcast = &Broadcast{Path: path}
		l.wrong(DataBroadcast, l.view.Broadcast, "a broadcast was broken off, and its file cannot be read: %v", err)
		return nil
	}
	if err != nil {
		l.couldNot(DataBroadcast, err)
		return nil
	}
	l.view.Broadcast = b
	if h := l.view.Holders; h != nil {
		for _, p := range h.Processes {
			b.Held = b.Held || p.Locks && strings.HasPrefix("ailee_create_anchor", p.Command)
		}
	}
	if err := l.findRoot(ctx, b); err != nil {
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
	l.wrong(DataBroadcast, b, "%s was broken off", text)
	return nil
}

var errMalformed = errors.New("it is not what ailee_create_anchor writes")

// readBroadcast reads the file of a broadcast.
func readBroadcast(path string) (*Broadcast, error) {
	f, err := durable.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPending))
	if err != nil {
		return nil, err
	}
	var pending struct {
		Anchor         *snapshot.Anchor `json:"anchor"`
		Wallet         string           `json:"wallet"`
		RawTransaction string           `json:"raw_transaction"`
	}
	if err := json.Unmarshal(text, &pending); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	tx, err := wallet.Decode(pending.RawTransaction)
	switch a := pending.Anchor; {
	case err != nil:
		return nil, fmt.Errorf("%w: its transaction: %w", errMalformed, err)
	case a == nil || *a != *snapshot.NewAnchor(a.L2StateRoot, a.TimestampMs, a.RecoveryMetadata):
		return nil, fmt.Errorf("%w: no anchor that is bound to its payload", errMalformed)
	}
	return &Broadcast{Path: path, Anchor: pending.Anchor.Hash, Root: printable.Text(pending.Anchor.L2StateRoot), TxID: tx.TxHash().String(), Wallet: printable.Text(pending.Wallet)}, nil
}

// findRoot looks for the snapshot whose state is being anchored, the newest first.
func (l *looker) findRoot(ctx context.Context, b *Broadcast) error {
	if l.file == nil {
		return nil
	}
	checker := snapshot.NewChecker(l.Memory)
	number, total := int64(0), int64(0)
	for at, err := range checker.Anchors(ctx, l.file, l.size) {
		if err != nil {
			return err
		}
		total = at.Index
		if at.Anchor != nil && at.Anchor.L2StateRoot == b.Root {
			number = at.Index
		}
	}
	b.Snapshot, b.Latest = number, number > 0 && number == total
	return nil
}
