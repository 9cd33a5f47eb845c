package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"sort"
	"strings"
)

// This file is a second implementation of the format document, written line by line and
// without regard to speed or memory, to compare the fast one with. It shares no code with
// the package.

type refAnchor struct {
	root, metadata, payload, hash string
	timestamp                     uint64
}

type refRecord struct {
	key  string
	text string // canonical, without the newline
}

type refSnapshot struct {
	offset, size int
	timestamp    uint64
	sections     map[string][]refRecord
	pegouts      [][2]string // peg id, anchor hash
	anchor       *refAnchor
}

var refOrder = []string{"balance", "escrow", "pegin", "pegout", "task"}

// The kinds of fields, by letter: s string, u u64, v u32, i i32, b bool read as i32.
var refFields = map[string]string{
	"balance": "su", "escrow": "ssubu", "pegin": "ssvussiuuu", "pegout": "sssuuisuu", "task": "siisuss",
}

type refLine struct {
	rest   string
	failed bool
}

const refSpace = " \t\v\f\r"

func (l *refLine) skip() { l.rest = strings.TrimLeft(l.rest, refSpace) }

func (l *refLine) word() string {
	l.skip()
	end := strings.IndexAny(l.rest, refSpace)
	if end < 0 {
		end = len(l.rest)
	}
	word := l.rest[:end]
	l.rest = l.rest[end:]
	return word
}

func (l *refLine) str() string {
	if l.failed {
		return ""
	}
	l.skip()
	if l.rest == "" {
		l.failed = true
		return ""
	}
	if l.rest[0] != '"' {
		return l.word()
	}
	var out []byte
	for i := 1; i < len(l.rest); i++ {
		switch {
		case l.rest[i] == '"':
			l.rest = l.rest[i+1:]
			return string(out)
		case l.rest[i] == '\\' && i+1 < len(l.rest):
			i++
			out = append(out, l.rest[i])
		case l.rest[i] != '\\':
			out = append(out, l.rest[i])
		}
	}
	l.failed = true
	return ""
}

// number reads a number of the given range and returns it in decimal.
func (l *refLine) number(min, max string, unsigned bool) string {
	if l.failed {
		return "0"
	}
	l.skip()
	i := 0
	if i < len(l.rest) && strings.ContainsRune("+-", rune(l.rest[i])) {
		i++
	}
	digits := i
	for i < len(l.rest) && l.rest[i] >= '0' && l.rest[i] <= '9' {
		i++
	}
	text := l.rest[:i]
	l.rest = l.rest[i:]
	if i == digits {
		l.failed = true
		return "0"
	}
	value, _ := new(big.Int).SetString(strings.TrimPrefix(text, "+"), 10)
	low, _ := new(big.Int).SetString(min, 10)
	high, _ := new(big.Int).SetString(max, 10)
	if unsigned {
		if new(big.Int).Abs(value).Cmp(high) > 0 {
			l.failed = true
			return max
		}
		if value.Sign() < 0 {
			value.Add(value, high)
			value.Add(value, big.NewInt(1))
		}
		return value.String()
	}
	switch {
	case value.Cmp(high) > 0:
		l.failed = true
		return max
	case value.Cmp(low) < 0:
		l.failed = true
		return min
	}
	return value.String()
}

const refU64 = "18446744073709551615"

func (l *refLine) u64() string { return l.number("0", refU64, true) }

func (l *refLine) field(kind rune) string {
	switch kind {
	case 's':
		return l.str()
	case 'u':
		return l.u64()
	case 'v':
		return l.number("0", "4294967295", true)
	}
	v := l.number("-2147483648", "2147483647", false)
	if kind == 'b' && v != "0" {
		return "1"
	}
	return v
}

func (s *refSnapshot) line(text string) {
	l := &refLine{rest: text}
	tag := l.word()
	switch tag {
	case "timestamp_ms":
		l.skip()
		if l.rest != "" {
			s.timestamp = refUint(l.u64())
		}
	case "anchor":
		l.skip()
		if strings.HasPrefix(l.rest, "n") {
			s.anchor = nil
			return
		}
		a := refAnchor{root: l.str()}
		a.timestamp = refUint(l.u64())
		a.metadata, a.payload, a.hash = l.str(), l.str(), l.str()
		if !l.failed {
			s.anchor = &a
		}
	default:
		kinds, ok := refFields[tag]
		if !ok {
			return
		}
		values := []string{}
		for _, kind := range kinds {
			values = append(values, l.field(kind))
			if kind == 's' && l.failed {
				return
			}
		}
		s.sections[tag] = append(s.sections[tag], refRecord{values[0], tag + ":" + strings.Join(values, ":")})
		if tag == "pegout" {
			s.pegouts = append(s.pegouts, [2]string{values[0], values[6]})
		}
	}
}

func refUint(s string) uint64 {
	v, _ := new(big.Int).SetString(s, 10)
	return v.Uint64()
}

// refSnapshots returns all complete snapshots.
func refSnapshots(data []byte) []*refSnapshot {
	var all []*refSnapshot
	var current *refSnapshot
	off := 0
	for line := range bytes.SplitAfterSeq(data, []byte("\n")) {
		next := off + len(line)
		text := strings.TrimSuffix(string(line), "\n")
		switch {
		case text == "SNAPSHOT v1":
			current = &refSnapshot{offset: off, sections: map[string][]refRecord{}}
		case text == "END_SNAPSHOT" && current != nil:
			current.size = next - current.offset
			all = append(all, current)
			current = nil
		case text != "" && current != nil:
			current.line(text)
		}
		off = next
	}
	return all
}

func (s *refSnapshot) root() string {
	var b strings.Builder
	b.WriteString("L2STATE|v1\n")
	for _, tag := range refOrder {
		records := s.sections[tag]
		fmt.Fprintf(&b, "%ss:%d\n", tag, len(records))
		order, _ := refSort(len(records), func(i, j int) bool { return records[i].key < records[j].key })
		for _, i := range order {
			b.WriteString(records[i].text + "\n")
		}
	}
	return refHash(b.String())
}

// refSort returns the order in which a node's std::sort leaves the numbers below n,
// compared by less, and how many pieces it sorted on a heap.
func refSort(n int, less func(i, j int) bool) (order []int, heaps int) {
	order = make([]int, n)
	depth := -2
	for i := range order {
		order[i] = i
	}
	for rest := n; rest > 0; rest /= 2 {
		depth += 2
	}
	type piece struct{ from, to, depth int }
	for todo := []piece{{0, n, depth}}; len(todo) > 0; {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		part := order[p.from:p.to]
		switch {
		case len(part) <= 16:
		case p.depth == 0:
			refHeapSort(part, less)
			heaps++
		default:
			cut := p.from + refPartition(part, less)
			todo = append(todo, piece{p.from, cut, p.depth - 1}, piece{cut, p.to, p.depth - 1})
		}
	}
	// Everything before i is sorted. A number is inserted after its equals.
	for i, value := range order {
		at := sort.Search(i, func(j int) bool { return less(value, order[j]) })
		copy(order[at+1:i+1], order[at:i])
		order[at] = value
	}
	return order, heaps
}

func refPartition(part []int, less func(i, j int) bool) (cut int) {
	n := len(part)
	is := func(i, j int) bool { return less(part[i], part[j]) }
	a, b, c := 1, n/2, n-1
	median := 0
	switch {
	case is(a, b) && is(b, c), !is(a, b) && !is(a, c) && !is(b, c):
		median = b
	case is(a, b) && is(a, c), !is(a, b) && !is(a, c) && is(b, c):
		median = c
	default:
		median = a
	}
	part[0], part[median] = part[median], part[0]
	for low, high := 1, n; ; low++ {
		for is(low, 0) {
			low++
		}
		for high--; is(0, high); {
			high--
		}
		if high <= low {
			return low
		}
		part[low], part[high] = part[high], part[low]
	}
}

func refHeapSort(part []int, less func(i, j int) bool) {
	// mend puts value into the heap of the first n numbers, from the root downward.
	mend := func(n, root, value int) {
		path := []int{root} // of the larger children, down to a leaf
		for at := root; 2*at+1 < n; path = append(path, at) {
			left, right := 2*at+1, 2*at+2
			if at = left; right < n && !less(part[right], part[left]) {
				at = right
			}
		}
		to := len(path) - 1 // where on the path the value comes to rest
		for to > 0 && less(part[path[to]], value) {
			to--
		}
		for i := range to {
			part[path[i]] = part[path[i+1]]
		}
		part[path[to]] = value
	}
	for root := len(part)/2 - 1; root >= 0; root-- {
		mend(len(part), root, part[root])
	}
	for n := len(part) - 1; n > 0; n-- {
		value := part[n]
		part[n] = part[0]
		mend(n, 0, value)
	}
}

func refHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// refVerdict returns what the nodes' verifier prints, without the path, and its exit code.
func refVerdict(data []byte) (stdout, stderr string, code int) {
	all := refSnapshots(data)
	if len(all) == 0 {
		return "", "", 1
	}
	s := all[len(all)-1]
	root := s.root()
	stdout = "Computed L2StateRoot: " + root + "\n"
	good := true
	complain := func(format string, args ...any) {
		good = false
		stderr += fmt.Sprintf(format, args...) + "\n"
	}
	if s.anchor == nil {
		complain("No anchor commitment present in snapshot.")
	} else {
		switch want := refHash(s.anchor.payload); {
		case s.anchor.root != root:
			complain("Anchor verification failed: Anchor state root mismatch. expected=%s anchor=%s", root, s.anchor.root)
		case string(bytes.ToLower([]byte(s.anchor.hash))) != want:
			complain("Anchor verification failed: Anchor hash mismatch. expected=%s anchor=%s", want, s.anchor.hash)
		default:
			stdout += "Anchor verified: " + s.anchor.hash + "\n"
		}
		for _, p := range s.pegouts {
			if p[1] == "" {
				complain("Peg-out %s missing anchor commitment hash.", p[0])
			} else if p[1] != s.anchor.hash {
				complain("Peg-out %s anchor hash mismatch. expected=%s got=%s", p[0], s.anchor.hash, p[1])
			}
		}
	}
	if !good {
		return stdout, stderr, 2
	}
	return stdout + "Verification OK.\n", "", 0
}
