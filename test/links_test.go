package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// TestLinks: every link between the documents leads to a file, and to a heading in
// it where it names one.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	top, err := filepath.Glob("../*.md")
	require.NoError(t, err)
	links := 0
	for _, document := range append(documents, top...) {
		for _, m := range link.FindAllStringSubmatch(prose(t, document), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			path := document
			if target != "" {
				path = filepath.Join(filepath.Dir(document), target)
			}
			_, err := os.Stat(path)
			if !assert.NoError(t, err, "%s links to %s", document, m[1]) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(t, path), anchor, "%s links to %s", document, m[1])
		}
	}
	assert.NotZero(t, links)
}

func prose(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return fence.ReplaceAllString(string(text), "")
}

// anchors returns the names that the headings of a document have in links.
func anchors(t *testing.T, path string) (names []string) {
	other := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range heading.FindAllStringSubmatch(prose(t, path), -1) {
		name := other.ReplaceAllString(strings.ToLower(m[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
