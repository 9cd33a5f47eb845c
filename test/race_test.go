//go:build race

package test

func init() { underRace = true }
