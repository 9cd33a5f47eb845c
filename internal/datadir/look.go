package datadir

import (
	"context"
	"time"
)

// looker is one look.
type looker struct {
	Options
	view   *View
	wanted map[Code]bool
}

func look(ctx context.Context, o Options) (*View, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &View{At: o.Now().UTC()}, ctx.Err()
}
