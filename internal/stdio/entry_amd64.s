//go:build !cgo && amd64

#include "textflag.h"

// The entry point of a program: it asks for the flags of standard output, and goes on with that
// of the Go runtime, for which it leaves the stack as the kernel made it.
TEXT ailee_entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL $72, AX // fcntl
	MOVL $1, DI  // standard output
	MOVL $1, SI  // F_GETFD
	SYSCALL
	MOVQ AX, ·flagsAtEntry(SB)
	JMP  _rt0_amd64_linux(SB)
