// Command ailee is every other command in one program: see the package multicall.
package main

import "ailee-recovery/internal/multicall"

func main() { multicall.Main() }
