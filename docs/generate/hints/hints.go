// Package hints finds in the source which hints the product gives, and when.
//
// A hint is what is passed for a parameter, or assigned to a variable or field, with the name
// hint; what a function whose name ends in hint returns; and what the method Hint of the streams
// prints. It is given when the message that it goes with is printed, or else under the condition
// that leads to it, in the words of its errors or of the comment on its line.
package hints

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// Hint is one hint, with placeholders for values that are only known at run time.
type Hint struct {
	Package string // folder in the repository
	When    string // the message that it goes with, or the condition
	Text    string
	At      string // file and line, for errors
}

// Collect returns the hints of the packages that match the patterns, sorted by package and in the
// order of the source. It is an error if the source does not say when a hint is given.
func Collect(root string, patterns ...string) ([]Hint, error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports
	loaded, err := packages.Load(&packages.Config{Mode: mode, Dir: root}, patterns...)
	if err != nil {
		return nil, err
	}
	r := &reader{root: root, functions: map[string]*function{}, variables: map[string]*variable{}}
	for _, p := range loaded {
		for _, err := range p.Errors {
			return nil, err
		}
		r.declare(p)
	}
	for _, p := range loaded {
		r.pkg = p
		for _, file := range p.Syntax {
			r.read(file)
		}
	}
	slices.SortStableFunc(r.found, func(a, b Hint) int { return cmp.Compare(a.Package, b.Package) })
	return r.found, errors.Join(r.problems...)
}

// reader collects hints.
type reader struct {
	root      string
	pkg       *packages.Package
	functions map[string]*function // by full name
	variables map[string]*variable // package-level, by full name
	comments  map[int]string       // at the ends of lines of the current file
	path      []ast.Node           // from the file to the current node
	bound     map[string][]string  // the values of the parameters of a function that is followed
	found     []Hint
	problems  []error
}

type function struct {
	*ast.FuncDecl
	pkg *packages.Package
}

type variable struct {
	value ast.Expr
	pkg   *packages.Package
}

// declare records the functions and variables of a package.
func (r *reader) declare(p *packages.Package) {
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if object, ok := p.TypesInfo.Defs[d.Name].(*types.Func); ok {
					r.functions[object.FullName()] = &function{d, p}
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					v, ok := spec.(*ast.ValueSpec)
					if !ok || len(v.Values) != len(v.Names) {
						continue
					}
					for i, name := range v.Names {
						r.variables[p.PkgPath+"."+name.Name] = &variable{v.Values[i], p}
					}
				}
			}
		}
	}
}

// read collects the hints of a file.
func (r *reader) read(file *ast.File) {
	r.comments = map[int]string{}
	for _, group := range file.Comments {
		r.comments[r.line(group.Pos())] = strings.TrimSpace(group.Text())
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			r.path = r.path[:len(r.path)-1]
			return true
		}
		r.path = append(r.path, n)
		switch n := n.(type) {
		case *ast.CallExpr:
			r.call(n)
		case *ast.ReturnStmt:
			r.returned(n)
		case *ast.AssignStmt:
			r.assigned(n)
		case *ast.CompositeLit:
			r.literal(n)
		}
		return true
	})
}

func (r *reader) line(pos token.Pos) int { return r.pkg.Fset.Position(pos).Line }

func (r *reader) at(n ast.Node) string {
	p := r.pkg.Fset.Position(n.Pos())
	name, err := filepath.Rel(r.root, p.Filename)
	if err != nil {
		name = p.Filename
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(name), p.Line)
}

// leaves is the field of a tool with the hint for an interrupted run.
const leaves = "Leaves"

// isHint reports whether a name is the name of a hint.
func isHint(name string) bool {
	return strings.HasSuffix(strings.ToLower(name), "hint") || strings.HasSuffix(name, "HintFor") || name == "hintFor" || name == "hintOf" || name == leaves
}

// call reads the arguments of a call.
func (r *reader) call(call *ast.CallExpr) {
	signature, ok := r.pkg.TypesInfo.TypeOf(call.Fun).(*types.Signature)
	if !ok {
		return
	}
	if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Hint" && signature.Variadic() {
		r.add(call, call.Args[0], r.format(call.Args[0], call.Args[1:]), r.before(call))
		return
	}
	for i := range min(signature.Params().Len(), len(call.Args)) {
		p := signature.Params().At(i)
		if !isHint(p.Name()) || !isString(p.Type()) {
			continue
		}
		when := ""
		for j := i + 1; j < min(signature.Params().Len(), len(call.Args)); j++ {
			switch name := signature.Params().At(j).Name(); {
			case name == "format" && signature.Variadic():
				when = first(r.format(call.Args[j], call.Args[j+1:]))
			case name == "err":
				when = first(r.message(call.Args[j], 0))
			}
		}
		for j := range i {
			if name := signature.Params().At(j).Name(); name == "err" {
				when = first(r.message(call.Args[j], 0))
			}
		}
		r.add(call, call.Args[i], r.eval(call.Args[i], 0), when)
	}
}

// returned reads what a function that makes hints returns.
func (r *reader) returned(s *ast.ReturnStmt) {
	for _, n := range slices.Backward(r.path) {
		switch n := n.(type) {
		case *ast.FuncLit:
			return
		case *ast.FuncDecl:
			if isHint(n.Name.Name) && len(s.Results) == 1 && isString(r.pkg.TypesInfo.TypeOf(s.Results[0])) && !r.inlined(n) {
				r.add(s, s.Results[0], r.eval(s.Results[0], 0), "")
			}
			return
		}
	}
}

// inlined reports whether a function is just an expression: it is read where it is called.
func (r *reader) inlined(f *ast.FuncDecl) bool {
	return len(f.Body.List) == 1 && isReturn(f.Body.List[0])
}

func isReturn(s ast.Stmt) bool { _, ok := s.(*ast.ReturnStmt); return ok }

// assigned reads what is assigned to a hint field. Variables are read where they are used.
func (r *reader) assigned(s *ast.AssignStmt) {
	if len(s.Lhs) != len(s.Rhs) {
		return
	}
	for i, left := range s.Lhs {
		if field, ok := left.(*ast.SelectorExpr); ok && isHint(field.Sel.Name) && isString(r.pkg.TypesInfo.TypeOf(left)) {
			r.add(s, s.Rhs[i], r.eval(s.Rhs[i], 0), r.before(s))
		}
	}
}

// literal reads the hints in struct literals.
func (r *reader) literal(c *ast.CompositeLit) {
	structure, ok := r.pkg.TypesInfo.TypeOf(c).Underlying().(*types.Struct)
	if !ok {
		return
	}
	var hint, message ast.Expr
	when := ""
	for i, element := range c.Elts {
		name, value := "", element
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			name, value = pair.Key.(*ast.Ident).Name, pair.Value
		} else {
			name = structure.Field(i).Name()
		}
		switch {
		case isHint(name):
			hint = value
			if name == leaves {
				when = "interrupted"
			}
		case name == "Err", name == "text":
			message = value
		}
	}
	if hint == nil {
		return
	}
	if message != nil {
		when = first(r.message(message, 0))
		if isString(r.pkg.TypesInfo.TypeOf(message)) {
			when = first(r.eval(message, 0))
		}
	}
	r.add(c, hint, r.eval(hint, 0), when)
}

// add records the hints that an expression gives. Another function's hint is recorded there.
func (r *reader) add(n ast.Node, e ast.Expr, texts []string, when string) {
	for _, text := range texts {
		if strings.Trim(text, " ;…") == "" || isPlaceholder(text) {
			continue
		}
		said := when
		if comment := r.comment(n); comment != "" {
			said = comment
		}
		if !anyWords.MatchString(said) {
			said = r.condition()
		}
		if said == "" {
			r.problems = append(r.problems, fmt.Errorf("%s: the source does not say when this hint is given: %s", r.at(n), text))
			continue
		}
		folder, _, _ := strings.Cut(r.at(n), ":")
		h := Hint{Package: filepath.ToSlash(filepath.Dir(folder)), When: said, Text: text, At: r.at(n)}
		if !slices.ContainsFunc(r.found, func(f Hint) bool { f.At = h.At; return f == h }) {
			r.found = append(r.found, h)
		}
	}
}

// anyWords matches text that is more than placeholders.
var anyWords = regexp.MustCompile(`[a-z]{2}`)

// comment returns the comment at the end of the line where a node begins.
func (r *reader) comment(n ast.Node) string { return r.comments[r.line(n.Pos())] }

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}

func isError(t types.Type) bool {
	return t != nil && types.Implements(t, types.Universe.Lookup("error").Type().Underlying().(*types.Interface))
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}
