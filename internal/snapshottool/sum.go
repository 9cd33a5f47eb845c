package snapshottool

import (
	"math/big"
	"math/bits"
)

// Sum is an exact sum of amounts. The zero value is 0.
type Sum struct{ high, low uint64 }

// Add adds an amount.
func (s *Sum) Add(n uint64) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, n, 0)
	s.high += carry
}

// AddSum adds another sum.
func (s *Sum) AddSum(other Sum) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, other.low, 0)
	s.high += other.high + carry
}

// Big returns the sum as a number.
func (s Sum) Big() *big.Int {
	n := new(big.Int).SetUint64(s.high)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(s.low))
}

// Less returns the sum minus another one, which may be negative.
func (s Sum) Less(other Sum) *big.Int { return s.Big().Sub(s.Big(), other.Big()) }
