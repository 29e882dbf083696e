package selection

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
)

// Functions are the functions of an expression.
func Functions() []Field { return slices.Clone(functions) }

var functions = []Field{
	{Name: "abs", Type: "abs(number)", Meaning: "the number without its sign", Example: "abs(size - 1000) < 10"},
	{Name: "bytes", Type: "bytes(constant)", Meaning: "a size with a unit: k, M, G", Example: `size > bytes("1M")`},
	{Name: "date", Type: "date(constant)", Meaning: "a time: RFC 3339, or a date with or without a time, in UTC",
		Example: `submitted >= date("2026-08-01 06:00")`},
	{Name: "duration", Type: "duration(constant)", Meaning: "a duration: ms, s, m, h, d, w", Example: `age > duration("1d12h")`},
	{Name: "len", Type: "len(text)", Meaning: "characters of a text", Example: "len(rcpt) > 64"},
	{Name: "lower", Type: "lower(text)", Meaning: "the text: it is in lower case already", Example: `lower(error) contains "greylist"`},
	{Name: "max", Type: "max(number, …)", Meaning: "the largest", Example: "max(attempts, 3) == 3"},
	{Name: "min", Type: "min(number, …)", Meaning: "the smallest", Example: "min(attempts, 3) == 3"},
	{Name: "trim", Type: "trim(text)", Meaning: "the text without blanks around it", Example: `trim(subject) == ""`},
	{Name: "wild", Type: "wild(text, constant, …)", Meaning: "one of the constants is the text; * in it is any run of characters",
		Example: `wild(sender, "*@example.com", "bounce-*")`},
}

// constants are the functions that are computed when an expression is compiled.
var constants = map[string]func(string) (any, string){
	"bytes": func(s string) (any, string) { n, why := parseSize(s); return int(n), why },
	"date":  func(s string) (any, string) { return parseDate(s) },
	"duration": func(s string) (any, string) {
		d, why := parseDuration(s)
		return d, why
	},
}

func parseDate(s string) (time.Time, string) {
	for _, form := range []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), ""
		}
	}
	return time.Time{}, `not a date; write 2026-08-01, "2026-08-01 06:00" or RFC 3339`
}

// methods are what one may ask a duration or a time: those that are numbers.
var methods = []string{"Hours", "Minutes", "Seconds", "Year", "YearDay", "Day", "Hour", "Minute", "Second", "Unix"}

const noSuchThing = "the language of selections does not have this"

// wildName is the function wild behind its constants; no expression can spell it.
const wildName = "wild()"

func matchWild(args ...any) (any, error) {
	text := []byte(args[0].(string))
	return slices.ContainsFunc(*args[1].(*[]wildcard), func(w wildcard) bool { return w.match(text) }), nil
}

// rules go over the tree of an expression, the leaves first. They let pass what the
// language has, which is less than what the library has: nothing that loops, grows,
// depends on more than the subject, or has a regular expression that a subject could
// write. They put constants into lower case, and compute what is constant.
type rules struct {
	used   []*Field
	budget *int
	err    *file.Error // the first
}

// builtins are those of the library that the language has, too.
func (r *rules) builtins() expr.Option {
	return func(c *conf.Config) {
		for _, f := range functions {
			if constants[f.Name] == nil && f.Name != "wild" {
				expr.EnableBuiltin(f.Name)(c)
			}
		}
	}
}

func (r *rules) refuse(n ast.Node, why string, args ...any) {
	if r.err == nil {
		r.err = &file.Error{Location: n.Location(), Message: fmt.Sprintf(why, args...)}
	}
}

// Visit is called by the library for each node.
func (r *rules) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.UnaryNode:
		r.lower(n.Node)
	case *ast.ConditionalNode:
		r.lower(n.Cond, n.Exp1, n.Exp2)
	case *ast.ArrayNode:
		r.lower(n.Nodes...)
	case *ast.IdentifierNode:
		r.identifier(n)
	case *ast.BinaryNode:
		r.binary(n)
	case *ast.BuiltinNode:
		if !isFunction(n.Name) {
			r.refuse(n, "no function %s here; there are %s", n.Name, names(functions))
		}
		r.lower(n.Arguments...)
	case *ast.MemberNode:
		if name, ok := n.Property.(*ast.StringNode); !ok || n.Optional || !slices.Contains(methods, name.Value) {
			r.refuse(n, "nothing has such a part; a duration and a time have %s", strings.Join(methods, ", "))
		}
	case *ast.CallNode:
		r.call(node, n)
	default:
		r.refuse(n, noSuchThing)
	}
}

func isFunction(name string) bool {
	return slices.ContainsFunc(functions, func(f Field) bool { return f.Name == name })
}

func names(list []Field) string {
	var all []string
	for _, f := range list {
		all = append(all, f.Name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// lower puts those nodes that are constants into lower case.
func (r *rules) lower(nodes ...ast.Node) {
	for _, n := range nodes {
		if s, ok := n.(*ast.StringNode); ok {
			s.Value = lower(s.Value)
		}
	}
}

func (r *rules) identifier(n *ast.IdentifierNode) {
	switch f := field(n.Value); {
	case n.Value == "$env":
		r.refuse(n, noSuchThing)
	case f != nil && !slices.Contains(r.used, f):
		r.used = append(r.used, f)
	}
}

func (r *rules) binary(n *ast.BinaryNode) {
	if n.Operator != "matches" {
		r.lower(n.Left, n.Right)
		if slices.Contains([]string{"==", "!=", "in"}, n.Operator) {
			r.known(n.Left, n.Right)
			r.known(n.Right, n.Left)
		}
		return
	}
	r.lower(n.Left)
	s, ok := n.Right.(*ast.StringNode)
	if !ok {
		r.refuse(n.Right, "a regular expression is a constant in quotes")
		return
	}
	if *r.budget -= len(s.Value); *r.budget < 0 {
		r.refuse(s, "the regular expressions are longer than %d bytes together", maxPatterns)
		return
	}
	if _, err := pattern(s.Value); err != nil {
		r.refuse(s, "%s", err)
		return
	}
	s.Value = ignoreCase + s.Value
}

// known refuses a constant beside a field that can never be it: a selection that
// matches nothing, because of a slip, keeps no mail back.
func (r *rules) known(side, other ast.Node) {
	name, ok := side.(*ast.IdentifierNode)
	if !ok {
		return
	}
	f := field(name.Value)
	if f == nil || f.Values == nil {
		return
	}
	list := []ast.Node{other}
	if a, ok := other.(*ast.ArrayNode); ok {
		list = a.Nodes
	}
	for _, n := range list {
		s, ok := n.(*ast.StringNode)
		if !ok {
			continue
		}
		plain, why := f.plain(s.Value)
		if why != "" {
			r.refuse(s, "%s", why)
			return
		}
		s.Value = plain
	}
}

func (r *rules) call(node *ast.Node, n *ast.CallNode) {
	if _, ok := n.Callee.(*ast.MemberNode); ok {
		if len(n.Arguments) > 0 {
			r.refuse(n, "this takes nothing in brackets")
		}
		return
	}
	name, ok := n.Callee.(*ast.IdentifierNode)
	switch {
	case !ok || !isFunction(name.Value):
		r.refuse(n, "no such function; there are %s", names(functions))
	case name.Value == "wild":
		r.wild(node, n)
	default:
		r.constant(node, n, name.Value)
	}
}

func (r *rules) constant(node *ast.Node, n *ast.CallNode, name string) {
	compute := constants[name]
	if compute == nil || len(n.Arguments) != 1 {
		r.refuse(n, "%s takes one constant in quotes", name)
		return
	}
	s, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		r.refuse(n.Arguments[0], "%s takes one constant in quotes", name)
		return
	}
	value, why := compute(s.Value)
	if why != "" {
		r.refuse(s, "%s", why)
		return
	}
	r.replace(node, value)
}

func (r *rules) replace(node *ast.Node, value any) {
	if i, ok := value.(int); ok {
		ast.Patch(node, &ast.IntegerNode{Value: i})
		return
	}
	c := &ast.ConstantNode{Value: value}
	ast.Patch(node, c)
	c.SetType(reflect.TypeOf(value))
}

func (r *rules) wild(node *ast.Node, n *ast.CallNode) {
	if len(n.Arguments) < 2 {
		r.refuse(n, "wild takes a text, and constants in quotes")
		return
	}
	r.lower(n.Arguments[0])
	list := make([]wildcard, 0, len(n.Arguments)-1)
	for _, a := range n.Arguments[1:] {
		s, ok := a.(*ast.StringNode)
		if !ok {
			r.refuse(a, "wild takes a text, and constants in quotes")
			return
		}
		list = append(list, newWildcard(s.Value))
	}
	c := &ast.ConstantNode{Value: &list}
	c.SetLocation(n.Location())
	ast.Patch(node, &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: wildName},
		Arguments: []ast.Node{n.Arguments[0], c},
	})
}
