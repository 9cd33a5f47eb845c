//go:build !cgo && amd64

package stdio

// flagsAtEntry has the descriptor flags of standard output, or a negative error number, as the
// entry point got them; 0 if the entry point was not used.
var flagsAtEntry int64

func outputWasClosed() bool { return flagsAtEntry < 0 }
