//go:build !cgo && amd64

#include "textflag.h"

// The entry point of a program: it gets the descriptor flags of standard output and jumps to
// the entry point of the Go runtime, with the stack as the kernel set it up.
TEXT ailee_entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL $72, AX // fcntl
	MOVL $1, DI  // standard output
	MOVL $1, SI  // F_GETFD
	SYSCALL
	MOVQ AX, ·flagsAtEntry(SB)
	JMP  _rt0_amd64_linux(SB)
