package snapshot

import "math/bits"

// insertionMax is the number of records up to which a node sorts by insertion alone. Equal
// keys then stay in the order of the file.
const insertionMax = 16

// nodeSort puts records in the order in which a node's std::sort leaves them, which is
// that of libstdc++ (bits/stl_algo.h and bits/stl_heap.h): introsort down to pieces of
// insertionMax, then one insertion sort over all. It is not stable, and the state
// root depends on where it puts equal keys, so nodeSort makes the same comparisons and
// moves. docs/formats.md describes it in words.
func nodeSort[E any](records []E, less func(a, b E) bool) {
	introsort(records, 2*(bits.Len(uint(len(records)))-1), less)
	insertionSort(records, less)
}

// introsort cuts records into pieces of at most insertionMax, each less than what
// follows it. A piece that is still larger after depth cuts is sorted on a heap.
func introsort[E any](records []E, depth int, less func(a, b E) bool) {
	for len(records) > insertionMax {
		if depth == 0 {
			heapSort(records, less)
			return
		}
		depth--
		cut := partition(records, less)
		introsort(records[cut:], depth, less)
		records = records[:cut]
	}
}

// partition takes the median of three for a pivot, puts it first, and returns where
// the records begin that are not less than it.
func partition[E any](records []E, less func(a, b E) bool) int {
	median := medianOf(records, 1, len(records)/2, len(records)-1, less)
	records[0], records[median] = records[median], records[0]
	pivot := records[0]
	left, right := 1, len(records)
	for {
		for less(records[left], pivot) {
			left++
		}
		right--
		for less(pivot, records[right]) {
			right--
		}
		if left >= right {
			return left
		}
		records[left], records[right] = records[right], records[left]
		left++
	}
}

// medianOf returns which of three positions has the median. Among equal records the
// order of the comparisons decides.
func medianOf[E any](records []E, a, b, c int, less func(a, b E) bool) int {
	if less(records[a], records[b]) {
		switch {
		case less(records[b], records[c]):
			return b
		case less(records[a], records[c]):
			return c
		}
		return a
	}
	switch {
	case less(records[a], records[c]):
		return a
	case less(records[b], records[c]):
		return c
	}
	return b
}

// heapSort needs at least two records.
func heapSort[E any](records []E, less func(a, b E) bool) {
	for parent := (len(records) - 2) / 2; parent >= 0; parent-- {
		fillHole(records, parent, records[parent], less)
	}
	for last := len(records) - 1; last > 0; last-- {
		value := records[last]
		records[last] = records[0]
		fillHole(records[:last], 0, value, less)
	}
}

// fillHole puts value into the heap, in which top is free: the hole moves all the way
// down, always to the larger child, and then value moves up from there.
func fillHole[E any](heap []E, top int, value E, less func(a, b E) bool) {
	hole := top
	for child := 2*hole + 2; child <= len(heap); child = 2*hole + 2 {
		if child == len(heap) || less(heap[child], heap[child-1]) {
			child--
		}
		heap[hole] = heap[child]
		hole = child
	}
	for hole > top {
		parent := (hole - 1) / 2
		if !less(heap[parent], value) {
			break
		}
		heap[hole] = heap[parent]
		hole = parent
	}
	heap[hole] = value
}

// insertionSort moves each record left past those that are greater.
func insertionSort[E any](records []E, less func(a, b E) bool) {
	for i := range records {
		value, j := records[i], i
		for ; j > 0 && less(value, records[j-1]); j-- {
			records[j] = records[j-1]
		}
		records[j] = value
	}
}
