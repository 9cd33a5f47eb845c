package content

import "iter"

// Heights yields the ranges of heights that have a block, first and last, in ascending
// order. The iteration ends after an error.
func (d *Database) Heights() iter.Seq2[[2]uint64, error] { return d.records.ranges() }
