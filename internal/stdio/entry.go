//go:build !cgo && amd64

package stdio

// flagsAtEntry are those of the descriptor of standard output, or an error below 0: what the
// entry point was told, and 0 where that was not used.
var flagsAtEntry int64

func outputWasClosed() bool { return flagsAtEntry < 0 }
