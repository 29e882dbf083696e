package selection

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/expr-lang/expr/vm"
)

// The limits of an expression. What nests is a word; constants only make it long.
const (
	maxText      = 2 << 20 // bytes, ids in front aside
	maxWords     = 4096    // apart from constants and commas
	maxConstants = 16384
	maxNodes     = 4 * (maxWords + maxConstants) // of the tree: the limits above are reached first
	maxMemory    = 2 * maxConstants              // elements of lists that are made at run time
)

// A where is a compiled expression.
type where struct {
	text    string // on one line, without comments
	source  string // as it was written, for errors
	program *vm.Program
	used    []*Field
	pool    sync.Pool // of *machine
}

// A machine computes expressions. Its environment has the fields that are used.
type machine struct {
	vm  vm.VM
	env map[string]any
}

// newWhere compiles an expression, and takes what its regular expressions need out
// of the budget.
func newWhere(source string, budget *int) (_ *where, err error) {
	w := &where{source: source}
	if w.text, err = scan(source); err != nil {
		return nil, err
	}
	defer func() { // the library has to do with what strangers write, and must not stop a daemon
		if p := recover(); p != nil {
			err = refuse("where", "", "", "the expression cannot be compiled: %v", p)
		}
	}()
	r := &rules{budget: budget}
	w.program, err = expr.Compile(source, expr.Env(sample), expr.AsBool(), expr.DisableAllBuiltins(), r.builtins(),
		expr.Function(wildName, matchWild, new(func(string, *[]wildcard) bool)), expr.MaxNodes(maxNodes), expr.Patch(r))
	if r.err != nil {
		err = r.err
	}
	if err != nil {
		return nil, whereError(source, err)
	}
	w.used = r.used
	w.pool.New = func() any {
		return &machine{vm: vm.VM{MemoryBudget: maxMemory}, env: make(map[string]any, len(w.used))}
	}
	return w, nil
}

// sample has a value of the right type for each field: what the checker of types
// knows of them.
var sample = func() map[string]any {
	env := map[string]any{}
	for _, f := range fields {
		switch f.Type {
		case "text":
			env[f.Name] = ""
		case "number":
			env[f.Name] = 0
		case "duration":
			env[f.Name] = time.Duration(0)
		case "time":
			env[f.Name] = time.Time{}
		}
	}
	return env
}()

func (w *where) holds(sub Subject, now time.Time) (bool, error) {
	m := w.pool.Get().(*machine)
	for _, f := range w.used {
		m.env[f.Name] = f.value(sub, now)
	}
	result, err := m.vm.Run(w.program, m.env)
	w.pool.Put(m)
	if err != nil {
		return false, whereError(w.source, err)
	}
	yes, ok := result.(bool)
	if !ok {
		return false, whereError(w.source, fmt.Errorf("the result is %T, neither true nor false", result))
	}
	return yes, nil
}

// whereError is what the library says, shortened, with a caret.
func whereError(source string, err error) *Error {
	e := &Error{Field: "where"}
	var at *file.Error
	if !errors.As(err, &at) {
		why, _, _ := strings.Cut(err.Error(), "\n") // what follows is a stack
		e.Why = clean(why, 300)
		return e
	}
	e.Why = caret(source, at.From, at.Message)
	if strings.HasPrefix(at.Message, "unknown name") {
		e.Hint = "the fields are " + names(fields)
	}
	if strings.HasPrefix(at.Message, "bad number syntax") {
		e.Hint = `with a unit it is duration("2h") or bytes("1M")`
	}
	return e
}

// scan reads the words of an expression, sees to the limits, and returns it on one
// line without comments. The library nests where brackets or signs do, before it
// counts anything: so words are limited before it sees them.
func scan(source string) (string, error) {
	switch {
	case len(source) > maxText:
		return "", refuse("where", "", "", "longer than %d bytes", maxText)
	case !utf8.ValidString(source):
		return "", refuse("where", "", "", "not UTF-8")
	case strings.TrimSpace(source) == "":
		return "", refuse("where", "", "leave it out, or write an expression", "an empty expression")
	}
	l := lexer.New()
	l.Reset(file.NewSource(source))
	var b strings.Builder
	words, constants, end := 0, 0, 0
	for {
		t, err := l.Next()
		if err != nil {
			return "", whereError(source, err)
		}
		switch {
		case t.Kind == lexer.EOF:
			return b.String(), nil
		case t.Is(lexer.Operator, ";"): // at the end the library takes it, but not before a bracket
			return "", whereError(source, &file.Error{Location: t.Location, Message: noSuchThing})
		case t.Kind == lexer.String || t.Kind == lexer.Number:
			constants++
		case !t.Is(lexer.Operator, ","):
			words++
		}
		if words > maxWords || constants > maxConstants {
			return "", &Error{Field: "where", Why: "too long", Hint: "an expression has at most " +
				strconv.Itoa(maxWords) + " words and signs, and " + strconv.Itoa(maxConstants) + " constants"}
		}
		if b.Len() > 0 && t.From > end {
			b.WriteByte(' ')
		}
		if end = t.To; t.Kind == lexer.String {
			b.WriteString(quote(t.Value))
		} else {
			b.WriteString(t.Value)
		}
	}
}

// quote writes a constant in the language.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteAll[T ~string](list []T) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(string(s))
	}
	return strings.Join(quoted, ", ")
}
