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

// TestLinks: every link between the documents leads to an existing file, and to an existing
// heading if it names one.
func TestLinks(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/commands/*.md"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		documents = append(documents, found...)
	}
	links := 0
	for _, document := range documents {
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

// anchors returns the anchors of the headings of a document.
func anchors(t *testing.T, path string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(prose(t, path), -1) {
		names = append(names, headingAnchor(m[1]))
	}
	return names
}

var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

func headingAnchor(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
