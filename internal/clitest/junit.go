package clitest

import (
	"encoding/xml"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// JUnitReport is a report as CI services read it.
type JUnitReport struct {
	XMLName xml.Name `xml:"testsuites"`
	JUnitCounts
	Suites []struct {
		JUnitCounts
		Name  string `xml:"name,attr"`
		Cases []struct {
			Name    string        `xml:"name,attr"`
			Time    float64       `xml:"time,attr"`
			Failure *JUnitProblem `xml:"failure"`
			Error   *JUnitProblem `xml:"error"`
			Out     string        `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// JUnitCounts are the counts of a report and of each of its suites.
type JUnitCounts struct {
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Errors   int     `xml:"errors,attr"`
	Time     float64 `xml:"time,attr"`
}

// JUnitProblem is a failure or an error.
type JUnitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// ReadJUnit reads a report and checks its counts.
func ReadJUnit(t *testing.T, path string) (r JUnitReport) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, xml.Unmarshal(text, &r), "%s", text)
	require.Len(t, r.Suites, 1)
	got := JUnitCounts{Tests: len(r.Suites[0].Cases), Time: r.Time}
	for _, c := range r.Suites[0].Cases {
		for _, p := range []*JUnitProblem{c.Failure, c.Error} {
			if p != nil {
				require.NotEmpty(t, p.Message)
				require.NotEmpty(t, p.Type)
				require.Contains(t, p.Text, p.Message)
			}
		}
		if c.Failure != nil {
			got.Failures++
		}
		if c.Error != nil {
			got.Errors++
		}
	}
	require.Equal(t, got, r.JUnitCounts)
	require.Equal(t, got, r.Suites[0].JUnitCounts)
	return r
}
