//go:build cgo

package stdio

/*
#include <fcntl.h>

static int output_was_closed;

__attribute__((constructor)) static void look(void) { output_was_closed = fcntl(1, F_GETFD) < 0; }

static int was_closed(void) { return output_was_closed; }
*/
import "C"

func outputWasClosed() bool { return C.was_closed() != 0 }
