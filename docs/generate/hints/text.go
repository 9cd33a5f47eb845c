package hints

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// deepest is how many levels of functions and variables are followed.
const deepest = 12

// placeholders has the placeholders for values, by their names in the source; other values have
// their names in the source.
var placeholders = map[string]string{
	"Snapshot": "FILE", "File": "FILE", "file": "FILE", "f": "FILE", "Source": "FILE", "source": "FILE", "StateFile": "FILE",
	"DBPath": "DB", "dbPath": "DB", "databasePath": "DB", "db": "DB", "URL": "URL", "DefaultURL": "URL",
	"Path": "PATH", "path": "PATH", "dir": "DIR", "Dir": "DIR", "DataDir": "DIR", "BackupDir": "BACKUPS", "kindNames": "KIND",
	"TempDir": "DIR", "folderOf": "DIR", "folder": "DIR", "above": "DIR", "barrier": "PATH", "pathOf": "PATH", "at": "POINT", "unitIn": "UNIT", "userName": "USER",
	"Snapshots": "FILE", "Database": "DB", "gone": "NAME", "Shared": "NAME", "DateTime": "TIME", "Exec": "COMMAND",
	"TxID": "TXID", "BitcoinTxID": "TXID", "txid": "TXID", "tx": "TXID", "Bump": "HASH", "Why": "…", "CouldNot": "…", "why": "…", "words": "…", "Text": "…",
	"Unit": "UNIT", "unit": "UNIT", "PID": "PID", "pid": "PID",
}

// eval returns the possible values of a string: several if it depends, none if it is the hint of
// another function.
func (r *reader) eval(e ast.Expr, depth int) []string {
	e = ast.Unparen(e)
	if value := r.pkg.TypesInfo.Types[e].Value; value != nil && value.Kind() == constant.String {
		return []string{constant.StringVal(value)}
	} else if value != nil {
		return []string{value.ExactString()}
	}
	if depth > deepest {
		return []string{"…"}
	}
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return product(r.eval(e.X, depth+1), r.eval(e.Y, depth+1))
	case *ast.CallExpr:
		return r.called(e, depth)
	case *ast.Ident:
		return r.named(e, depth)
	case *ast.SelectorExpr:
		if isHint(e.Sel.Name) {
			return nil
		}
	}
	return []string{r.placeholder(e)}
}

// product concatenates all pairs of texts; … stands for what another function decides.
func product(a, b []string) (all []string) {
	switch {
	case len(a) == 0 && len(b) > 0:
		a = []string{"…"}
	case len(b) == 0 && len(a) > 0:
		b = []string{"…"}
	}
	for _, x := range a {
		for _, y := range b {
			all = append(all, x+y)
		}
	}
	return all
}

// called returns the possible results of a call.
func (r *reader) called(call *ast.CallExpr, depth int) []string {
	object := r.callee(call)
	if object == nil {
		return []string{r.placeholder(call)}
	}
	switch object.FullName() {
	case "fmt.Sprintf":
		return r.format(call.Args[0], call.Args[1:])
	case "ailee-recovery/internal/exit.Command":
		words := ""
		for _, word := range r.words(call, depth) {
			words += " " + word
		}
		return []string{strings.TrimSpace(words)}
	case "cmp.Or":
		var all []string
		for _, arg := range call.Args {
			all = append(all, r.eval(arg, depth+1)...)
		}
		return all
	case "path/filepath.Dir":
		return []string{"DIR"}
	case "fmt.Sprint", "strings.TrimSuffix", "ailee-recovery/internal/durable.Shown", "ailee-recovery/internal/cli/terminal.Text":
		return r.eval(call.Args[0], depth+1)
	case "path/filepath.Join":
		var parts []string
		for _, arg := range call.Args {
			parts = append(parts, first(r.eval(arg, depth+1)))
		}
		return []string{strings.Join(parts, "/")}
	}
	if known, ok := placeholders[object.Name()]; ok {
		return []string{known}
	}
	f := r.functions[object.FullName()]
	if f == nil || f.Body == nil || !isString(object.Type().(*types.Signature).Results().At(0).Type()) {
		return []string{r.placeholder(call)}
	}
	if isHint(object.Name()) && !r.inlined(f.FuncDecl) {
		return nil
	}
	return r.inline(f, call, depth)
}

// inline returns the possible values of a function's first return, given the arguments of a call.
func (r *reader) inline(f *function, call *ast.CallExpr, depth int) []string {
	var result ast.Expr
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.ReturnStmt); ok && result == nil {
			result = s.Results[0]
		}
		return result == nil
	})
	here, given := r.pkg, map[string][]string{}
	i := 0
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				given[name.Name] = r.spread(call.Args[min(i, len(call.Args)):], call.Ellipsis.IsValid(), depth+1)
			} else if i < len(call.Args) {
				given[name.Name] = r.eval(call.Args[i], depth+1)
			}
			i++
		}
	}
	before := r.bound
	r.pkg, r.bound = f.pkg, given
	defer func() { r.pkg, r.bound = here, before }()
	return r.eval(result, depth+1)
}

// words returns the arguments of a command line.
func (r *reader) words(call *ast.CallExpr, depth int) []string {
	return r.spread(call.Args, call.Ellipsis.IsValid(), depth)
}

// spread returns arguments, the last of which may be a slice. If a slice is built step by step,
// the first step counts.
func (r *reader) spread(args []ast.Expr, ellipsis bool, depth int) (words []string) {
	for i, arg := range args {
		if ellipsis && i == len(args)-1 {
			words = append(words, r.slice(arg, depth+1)...)
		} else {
			words = append(words, first(r.eval(arg, depth+1)))
		}
	}
	return words
}

func (r *reader) slice(e ast.Expr, depth int) (words []string) {
	if depth > deepest {
		return nil
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.CompositeLit:
		return r.spread(e.Elts, false, depth)
	case *ast.CallExpr:
		if name, ok := e.Fun.(*ast.Ident); ok && name.Name == "append" {
			return append(r.slice(e.Args[0], depth+1), r.spread(e.Args[1:], e.Ellipsis.IsValid(), depth+1)...)
		}
		if object := r.callee(e); object != nil && object.FullName() == "slices.Concat" {
			for _, arg := range e.Args {
				words = append(words, r.slice(arg, depth+1)...)
			}
		}
	case *ast.Ident:
		if given, ok := r.bound[e.Name]; ok {
			return given
		}
		if values := r.assignments(e); len(values) > 0 {
			return r.slice(values[0], depth+1)
		}
	case *ast.SelectorExpr:
		return []string{r.placeholder(e)}
	}
	return words
}

func (r *reader) callee(call *ast.CallExpr) *types.Func {
	var name *ast.Ident
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		name = f
	case *ast.SelectorExpr:
		name = f.Sel
	default:
		return nil
	}
	object, _ := r.pkg.TypesInfo.Uses[name].(*types.Func)
	return object
}

// named returns the possible values of a variable.
func (r *reader) named(name *ast.Ident, depth int) (all []string) {
	if given, ok := r.bound[name.Name]; ok {
		return given
	}
	values := r.assignments(name)
	for _, value := range values {
		if refers(value, name.Name) {
			continue // what is added to it
		}
		all = append(all, r.eval(value, depth+1)...)
	}
	if len(values) > 0 && isHint(name.Name) || len(all) > 0 && len(values) == len(all) && depth < 6 && len(all) < 4 && !slices.ContainsFunc(all, isPlaceholder) {
		return all
	}
	if isHint(name.Name) {
		return nil // a parameter: its callers count
	}
	return []string{r.placeholder(name)}
}

func isPlaceholder(text string) bool { return text == strings.ToUpper(text) }

func refers(e ast.Expr, name string) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return !found
	})
	return found
}

// assignments returns the values that are assigned to a local variable.
func (r *reader) assignments(name *ast.Ident) (values []ast.Expr) {
	object := r.pkg.TypesInfo.ObjectOf(name)
	if object == nil || object.Parent() == nil {
		return nil
	}
	for _, file := range r.pkg.Syntax {
		if object.Pos() < file.Pos() || object.Pos() >= file.End() {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if id, ok := left.(*ast.Ident); ok && n.Tok != token.ADD_ASSIGN && len(n.Lhs) == len(n.Rhs) && r.pkg.TypesInfo.ObjectOf(id) == object {
						values = append(values, n.Rhs[i])
					}
				}
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if i < len(n.Values) && r.pkg.TypesInfo.ObjectOf(id) == object {
						values = append(values, n.Values[i])
					}
				}
			}
			return true
		})
	}
	return values
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z%]`)

// format returns the possible results of formatting.
func (r *reader) format(format ast.Expr, args []ast.Expr) []string {
	texts := r.eval(format, 0)
	for i, text := range texts {
		n := 0
		texts[i] = verb.ReplaceAllStringFunc(text, func(verb string) string {
			if verb == "%%" {
				return "%"
			}
			if n++; n > len(args) {
				return "…"
			}
			if arg := args[n-1]; isError(r.pkg.TypesInfo.TypeOf(arg)) {
				return "…"
			} else if isString(r.pkg.TypesInfo.TypeOf(arg)) {
				if values := r.eval(arg, 1); len(values) > 0 {
					return strings.Join(values, " / ")
				}
				return "…"
			} else if strings.HasSuffix(verb, "d") {
				return "N"
			} else {
				return r.placeholder(arg)
			}
		})
		if len(texts) == 1 && text == "%s" && len(args) == 1 { // whatever that can be
			return r.eval(args[0], 1)
		}
	}
	return texts
}

// placeholder returns the placeholder for a value.
func (r *reader) placeholder(e ast.Expr) string {
	if isError(r.pkg.TypesInfo.TypeOf(e)) {
		return "…"
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return upper(e.Name)
	case *ast.SelectorExpr:
		return upper(e.Sel.Name)
	case *ast.IndexExpr:
		return r.placeholder(e.X)
	case *ast.StarExpr:
		return r.placeholder(e.X)
	case *ast.CallExpr:
		if s, ok := e.Fun.(*ast.SelectorExpr); ok && len(e.Args) == 0 {
			if placeholders[s.Sel.Name] != "" {
				return placeholders[s.Sel.Name]
			}
			return r.placeholder(s.X)
		}
		if len(e.Args) > 0 {
			return r.placeholder(e.Args[0])
		}
	}
	return "…"
}

// upper returns a name as a placeholder.
func upper(name string) string {
	if known, ok := placeholders[name]; ok {
		return known
	}
	if len(name) == 1 {
		return "…"
	}
	var b strings.Builder
	for i, c := range name {
		if i > 0 && unicode.IsUpper(c) && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToUpper(c))
	}
	return b.String()
}

// message returns the text of an error.
func (r *reader) message(e ast.Expr, depth int) []string {
	e = ast.Unparen(e)
	if depth > deepest {
		return nil
	}
	switch e := e.(type) {
	case *ast.CallExpr:
		object := r.callee(e)
		if object == nil {
			return nil
		}
		switch object.FullName() {
		case "fmt.Errorf":
			return r.format(e.Args[0], e.Args[1:])
		case "errors.New":
			return r.eval(e.Args[0], 0)
		}
	case *ast.SelectorExpr:
		return r.sentinel(r.pkg.TypesInfo.ObjectOf(e.Sel))
	case *ast.Ident:
		object := r.pkg.TypesInfo.ObjectOf(e)
		if object != nil && object.Pkg() != nil && object.Parent() == object.Pkg().Scope() {
			return r.sentinel(object)
		}
		var all []string
		for _, value := range r.assignments(e) {
			all = append(all, r.message(value, depth+1)...)
		}
		if len(all) == 1 {
			return all
		}
	}
	return nil
}

// sentinel returns the text of an error that is a variable or a system error number.
func (r *reader) sentinel(object types.Object) []string {
	switch o := object.(type) {
	case *types.Const:
		if n, ok := constant.Uint64Val(constant.ToInt(o.Val())); ok && strings.HasSuffix(o.Type().String(), "Errno") {
			return []string{syscall.Errno(n).Error()}
		}
	case *types.Var:
		if o.Pkg() == nil || o.Parent() != o.Pkg().Scope() {
			return nil
		}
		name := o.Pkg().Path() + "." + o.Name()
		if text, ok := ofLibraries[name]; ok {
			return []string{text}
		}
		if v := r.variables[name]; v != nil {
			here := r.pkg
			r.pkg = v.pkg
			defer func() { r.pkg = here }()
			return r.message(v.value, 1)
		}
	}
	return nil
}

// ofLibraries has the texts of library errors.
var ofLibraries = map[string]string{
	"io/fs.ErrNotExist": "file does not exist", "os.ErrNotExist": "file does not exist", "io/fs.ErrPermission": "permission denied",
	"io/fs.ErrExist": "file exists", "context.DeadlineExceeded": "context deadline exceeded",
}

// before returns the message that an earlier statement in the same block prints.
func (r *reader) before(n ast.Node) string {
	for _, above := range slices.Backward(r.path) {
		var list []ast.Stmt
		switch above := above.(type) {
		case *ast.BlockStmt:
			list = above.List
		case *ast.CaseClause:
			list = above.Body
		case *ast.FuncDecl, *ast.FuncLit:
			return ""
		default:
			continue
		}
		said := ""
		for _, s := range list {
			if s.Pos() >= n.Pos() {
				break
			}
			if text := r.printed(s); text != "" {
				said = text
			}
		}
		return said
	}
	return ""
}

// printed returns the message that a statement prints.
func (r *reader) printed(s ast.Stmt) (text string) {
	switch s := s.(type) {
	case *ast.ExprStmt:
		call, ok := s.X.(*ast.CallExpr)
		if !ok {
			return ""
		}
		signature, ok := r.pkg.TypesInfo.TypeOf(call.Fun).(*types.Signature)
		if !ok || !signature.Variadic() || signature.Params().Len() < 2 {
			return ""
		}
		i := signature.Params().Len() - 2
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Hint" || i >= len(call.Args) || signature.Params().At(i).Name() != "format" {
			return ""
		}
		return first(r.format(call.Args[i], call.Args[i+1:]))
	case *ast.AssignStmt:
		if field, ok := s.Lhs[0].(*ast.SelectorExpr); ok && len(s.Rhs) == 1 && (field.Sel.Name == "problem" || field.Sel.Name == "text") {
			return first(r.eval(s.Rhs[0], 0))
		}
	}
	return ""
}

// condition returns what leads to the current node: the nearest condition that has words.
func (r *reader) condition() string {
	for i := len(r.path) - 1; i >= 0; i-- {
		switch n := r.path[i].(type) {
		case *ast.CaseClause:
			if comment := r.comment(n); comment != "" {
				return comment
			}
			var all []string
			for _, e := range n.List {
				text := r.say(e)
				if text == "" {
					return ""
				}
				all = append(all, text)
			}
			if len(all) > 0 {
				return strings.Join(all, "; ")
			}
		case *ast.IfStmt:
			if comment := r.comment(n); comment != "" {
				return comment
			}
			if text := r.say(n.Cond); text != "" && n.Body.Pos() <= r.path[len(r.path)-1].Pos() {
				return text
			}
		case *ast.FuncDecl, *ast.FuncLit:
			return ""
		}
	}
	return ""
}

// say returns the words for a condition, "" if it has none.
func (r *reader) say(e ast.Expr) string {
	switch e := ast.Unparen(e).(type) {
	case *ast.BinaryExpr:
		x, y := r.say(e.X), r.say(e.Y)
		switch {
		case x == "" || y == "":
			return ""
		case e.Op == token.LOR:
			return x + "; " + y
		case e.Op == token.LAND:
			return x + ", " + y
		}
	case *ast.CallExpr:
		object := r.callee(e)
		var args []ast.Expr
		switch {
		case object == nil:
			if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "has" {
				args = e.Args
			}
		case object.FullName() == "errors.Is", object.FullName() == "errors.As", object.FullName() == "strings.Contains":
			args = e.Args[1:]
		case object.Name() == "is", object.Name() == "isOneOf":
			args = e.Args[1:]
		}
		var all []string
		for _, arg := range args {
			text := first(r.message(arg, 0))
			if text == "" && r.pkg.TypesInfo.Types[arg].Value != nil && isString(r.pkg.TypesInfo.TypeOf(arg)) {
				text = first(r.eval(arg, 0))
			}
			if text == "" {
				text = r.ofType(arg)
			}
			if text == "" {
				return ""
			}
			all = append(all, text)
		}
		return strings.Join(all, "; ")
	case *ast.SelectorExpr: // a Bitcoin error code
		if c, ok := r.pkg.TypesInfo.ObjectOf(e.Sel).(*types.Const); ok && strings.HasSuffix(c.Type().String(), "RPCErrorCode") {
			return "error " + c.Val().ExactString()
		}
	}
	return ""
}

// ofType returns the text of errors of a type, from its Error method.
func (r *reader) ofType(e ast.Expr) string {
	t := r.pkg.TypesInfo.TypeOf(e)
	pointer, ok := t.(*types.Pointer)
	if !ok {
		return ""
	}
	object, _, _ := types.LookupFieldOrMethod(pointer.Elem(), true, nil, "Error")
	method, ok := object.(*types.Func)
	if !ok || r.functions[method.FullName()] == nil {
		return ""
	}
	f := r.functions[method.FullName()]
	here := r.pkg
	r.pkg = f.pkg
	defer func() { r.pkg = here }()
	text := ""
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if s, ok := n.(*ast.ReturnStmt); ok && text == "" && len(s.Results) == 1 {
			text = first(r.eval(s.Results[0], 0))
		}
		return text == ""
	})
	return text
}
