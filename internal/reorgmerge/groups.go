package reorgmerge

import (
	"bytes"
	"context"
	"iter"

	"ailee-recovery/reorgdb"
)

// member is the value that a source has for a key.
type member struct {
	source int
	value  []byte
}

// group is a key and its values in the sources that have it, in the order of the sources. Both
// are valid until the next group.
type group struct {
	key     []byte
	members []member
}

// cursor is a source that is being read.
type cursor struct {
	next   func() (reorgdb.Record, error, bool)
	stop   func()
	record reorgdb.Record
	more   bool
}

func (c *cursor) advance() (err error) {
	c.record, err, c.more = c.next()
	return err
}

// groups yields the keys of all sources, each once, in ascending order.
func (m *Merge) groups(ctx context.Context, family string, from, to []byte) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		cursors := make([]cursor, len(m.sources))
		for k, s := range m.sources {
			c := &cursors[k]
			if !has(s, family) {
				continue
			}
			c.next, c.stop = iter.Pull2(s.Scan(ctx, family, from, to))
			defer c.stop()
			if err := c.advance(); err != nil {
				yield(group{}, err)
				return
			}
		}
		g := group{members: make([]member, 0, len(cursors))}
		for {
			g.collect(cursors)
			if len(g.members) == 0 || !yield(g, nil) {
				return
			}
			for _, one := range g.members {
				if err := cursors[one.source].advance(); err != nil {
					yield(group{}, err)
					return
				}
			}
		}
	}
}

// collect makes g the group of the lowest key that a cursor is at.
func (g *group) collect(cursors []cursor) {
	g.key, g.members = nil, g.members[:0]
	for k := range cursors {
		c := &cursors[k]
		if !c.more {
			continue
		}
		order := -1
		if len(g.members) > 0 {
			order = bytes.Compare(c.record.Key, g.key)
		}
		if order > 0 {
			continue
		}
		if order < 0 {
			g.key, g.members = c.record.Key, g.members[:0]
		}
		g.members = append(g.members, member{k, c.record.Value})
	}
}

func has(s Source, family string) bool {
	for _, name := range s.Families() {
		if name == family {
			return true
		}
	}
	return false
}
