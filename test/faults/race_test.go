//go:build race

package faults

func init() { underRace = true }
