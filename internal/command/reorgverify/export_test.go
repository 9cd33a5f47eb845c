package reorgverify

// HoldAnchors sets how many anchors of a snapshot file are held in memory.
func HoldAnchors(n int) (restore func()) {
	before := maxAnchors
	maxAnchors = n
	return func() { maxAnchors = before }
}
