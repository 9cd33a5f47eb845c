// Package ijson writes JSON whose numbers survive in every program (I-JSON, RFC 7493).
// Programs that hold numbers as doubles round integers beyond 2^53-1, so it writes these as
// decimal strings.
package ijson

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// MaxExact is the largest integer that is written as a number.
const MaxExact = 1<<53 - 1

// maxExact is MaxExact in decimal.
const maxExact = "9007199254740991"

// Marshal is [json.Marshal], except that every integer beyond MaxExact, of whatever type, is a
// decimal string.
func Marshal(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return quoteLarge(text), err
}

// MarshalIndent is [json.MarshalIndent] with the same exception.
func MarshalIndent(v any, prefix, indent string) ([]byte, error) {
	text, err := json.MarshalIndent(v, prefix, indent)
	return quoteLarge(text), err
}

// quoteLarge turns the integers in a JSON text that are too large into strings.
func quoteLarge(text []byte) []byte {
	var out []byte // nil until there is such an integer
	done := 0      // how much of text is in out
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			i = afterString(text, i)
		case c == '-' || '0' <= c && c <= '9':
			end := afterNumber(text, i)
			if isLarge(text[i:end]) {
				out = append(append(append(append(out, text[done:i]...), '"'), text[i:end]...), '"')
				done = end
			}
			i = end
		default:
			i++
		}
	}
	if out == nil {
		return text
	}
	return append(out, text[done:]...)
}

// afterString returns the end of the string that begins at i.
func afterString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// afterNumber returns the end of the number that begins at i.
func afterNumber(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
		default:
			return i
		}
	}
	return i
}

// isLarge reports whether a number is an integer beyond MaxExact.
func isLarge(number []byte) bool {
	if number[0] == '-' {
		number = number[1:]
	}
	if len(number) < len(maxExact) || len(number) == len(maxExact) && string(number) <= maxExact {
		return false
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Number is an unsigned number of up to 64 bits. It is written like any other, and read from
// a number or a string.
type Number uint64

// MarshalJSON implements [json.Marshaler].
func (n Number) MarshalJSON() ([]byte, error) {
	if n > MaxExact {
		return fmt.Appendf(nil, `"%d"`, uint64(n)), nil
	}
	return strconv.AppendUint(nil, uint64(n), 10), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (n *Number) UnmarshalJSON(text []byte) error {
	if len(text) > 2 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	value, err := strconv.ParseUint(string(text), 10, 64)
	*n = Number(value)
	return err
}
