package rocksfile

// SetSortMemory sets how many bytes of entries are held in memory, and returns what undoes
// it.
func SetSortMemory(bytes int) (undo func()) {
	before := sortMemory
	sortMemory = bytes
	return func() { sortMemory = before }
}
