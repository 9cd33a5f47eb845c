package snapshottool

import (
	"fmt"
	"time"
)

// maxTimestampMs is the last millisecond of the year 9999.
const maxTimestampMs = 253402300799999

// UTC formats Unix milliseconds. It returns false for a time after the year 9999.
func UTC(ms uint64) (string, bool) {
	if ms > maxTimestampMs {
		return "", false
	}
	return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z"), true
}

// Time is [UTC], or the bare number if UTC returns false.
func Time(ms uint64) string {
	if text, ok := UTC(ms); ok {
		return text
	}
	return fmt.Sprintf("%d ms", ms)
}

// ShortTime is [Time] to the second, for places that say that it is UTC.
func ShortTime(ms uint64) string {
	text := AppendShortTime(nil, ms)
	return string(text)
}

// AppendShortTime appends [ShortTime].
func AppendShortTime(dst []byte, ms uint64) []byte {
	if ms > maxTimestampMs {
		return append(dst, Time(ms)...)
	}
	return time.UnixMilli(int64(ms)).UTC().AppendFormat(dst, time.DateTime)
}
