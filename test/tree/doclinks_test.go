package tree

import (
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

// TestDocLinks: every [Name] in the comment of a declaration refers to an existing declaration. go
// doc makes links only of exported names; here, unexported names count as well.
func TestDocLinks(t *testing.T) {
	loaded, err := packages.Load(&packages.Config{Mode: linkMode, Dir: "../.."}, "./...")
	require.NoError(t, err)
	require.Greater(t, len(loaded), 30)
	var broken []string
	links := 0
	for _, p := range loaded {
		require.Empty(t, p.Errors)
		if within(p.PkgPath, module+"internal/clitest") {
			continue // the commands of scripts have arguments in brackets
		}
		more, n := brokenLinks(p.Fset, p.Syntax, p.Types)
		broken = append(broken, more...)
		links += n
	}
	require.Empty(t, broken)
	require.Greater(t, links, 100)
}

const linkMode = packages.NeedName | packages.NeedFiles | packages.NeedTypes | packages.NeedSyntax | packages.NeedImports

// TestBrokenDocLinksAreSeen: each kind of link, sound and broken.
func TestBrokenDocLinksAreSeen(t *testing.T) {
	const source = `// Package planted has [Sound], [*Sound], [Sound.Method], [Sound.Field],
// [hidden], [io.EOF], [io.Reader.Read] and [io].
package planted

import "io"

// Sound is not [Sound.Lost], [Lost], [io.Lost], [io.Reader.Lost], [net.Conn]
// or [*Absent]. x[Lost], [0, 1), [From, To) and [3] are text, and so is
//
//	[Lost]
type Sound struct {
	Field int // [Gone]
}

// Method has [Sound.Field].
func (Sound) Method() { _ = io.EOF }

// hidden is [gone].
func hidden() { hidden() }
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "planted.go", source, parser.ParseComments)
	require.NoError(t, err)
	loaded, err := packages.Load(&packages.Config{Mode: linkMode}, "io")
	require.NoError(t, err)
	config := types.Config{Importer: only{loaded[0].Types}}
	p, err := config.Check("planted", set, []*ast.File{file}, nil)
	require.NoError(t, err)
	broken, links := brokenLinks(set, []*ast.File{file}, p)
	require.Equal(t, []string{
		"planted.go:7: [Sound.Lost]", "planted.go:7: [Lost]", "planted.go:7: [io.Lost]", "planted.go:7: [io.Reader.Lost]", "planted.go:7: [net.Conn]", "planted.go:7: [*Absent]",
		"planted.go:12: [Gone]", "planted.go:18: [gone]",
	}, broken)
	require.Equal(t, 17, links)
}

// only is an importer of one package.
type only struct{ *types.Package }

func (o only) Import(string) (*types.Package, error) { return o.Package, nil }

// docLink matches a name in brackets, perhaps with its package or type, but nothing that could be
// an index.
var docLink = regexp.MustCompile(`(?:^|[^\w\])])\[(\*?[A-Za-z_][\w/]*(?:\.\w+){0,2})\](?:[^\w(\[]|$)`)

// brokenLinks returns the broken links of a package, and the number of all links.
func brokenLinks(set *token.FileSet, files []*ast.File, p *types.Package) (broken []string, links int) {
	for _, file := range files {
		for _, group := range docComments(file) {
			for _, text := range prose(group.Text()) {
				for _, m := range docLink.FindAllStringSubmatch(text, -1) {
					links++
					if !leads(p, strings.TrimPrefix(m[1], "*")) {
						at := set.Position(group.Pos())
						broken = append(broken, fmt.Sprintf("%s:%d: [%s]", filepath.Base(at.Filename), at.Line, m[1]))
					}
				}
			}
		}
	}
	return broken, links
}

// docComments returns the comments that belong to a declaration, a field or the package.
func docComments(file *ast.File) (all []*ast.CommentGroup) {
	add := func(groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if g != nil {
				all = append(all, g)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.File:
			add(n.Doc)
		case *ast.GenDecl:
			add(n.Doc)
		case *ast.FuncDecl:
			add(n.Doc)
		case *ast.TypeSpec:
			add(n.Doc, n.Comment)
		case *ast.ValueSpec:
			add(n.Doc, n.Comment)
		case *ast.Field:
			add(n.Doc, n.Comment)
		}
		return true
	})
	return all
}

// prose returns the text of a comment without its code, by paragraph, since a link and what follows
// it may be on different lines.
func prose(text string) (paragraphs []string) {
	var add func(blocks []comment.Block)
	add = func(blocks []comment.Block) {
		for _, b := range blocks {
			switch b := b.(type) {
			case *comment.Paragraph:
				paragraphs = append(paragraphs, plain(b.Text))
			case *comment.Heading:
				paragraphs = append(paragraphs, plain(b.Text))
			case *comment.List:
				for _, item := range b.Items {
					add(item.Content)
				}
			}
		}
	}
	add(new(comment.Parser).Parse(text).Content)
	return paragraphs
}

func plain(text []comment.Text) string {
	var b strings.Builder
	for _, t := range text {
		switch t := t.(type) {
		case comment.Plain:
			b.WriteString(string(t))
		case *comment.DocLink: // a link to a package that the parser knows
			b.WriteString("[" + plain(t.Text) + "]")
		}
	}
	return strings.ReplaceAll(b.String(), "] [", "]  [") // each has its own space around it
}

// leads reports whether a name exists in the package or in one that it imports.
func leads(p *types.Package, name string) bool {
	if path, rest, ok := cutPackage(p, name); ok {
		return rest == "" || found(path, rest)
	}
	return found(p, name)
}

// cutPackage splits an imported package off a name.
func cutPackage(p *types.Package, name string) (imported *types.Package, rest string, ok bool) {
	for _, i := range p.Imports() {
		for _, prefix := range []string{i.Path(), i.Name()} {
			if name == prefix {
				return i, "", true
			}
			if rest, ok := strings.CutPrefix(name, prefix+"."); ok {
				return i, rest, true
			}
		}
	}
	return nil, "", false
}

// found looks up a name, or the field or method of a type.
func found(p *types.Package, name string) bool {
	name, member, hasMember := strings.Cut(name, ".")
	object := p.Scope().Lookup(name)
	if object == nil || !hasMember {
		return object != nil
	}
	got, _, _ := types.LookupFieldOrMethod(object.Type(), true, p, member)
	return got != nil
}
