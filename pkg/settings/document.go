package settings

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A span is bytes of a text, from one offset up to, and without, another.
type span struct{ from, to int }

// An entry is one expression of a file: a header, or a key with its value. What an inline
// table has are entries, too.
type entry struct {
	path   []step // from the root of the file
	own    int    // of a key: how many steps of path are the header's above it
	header bool
	inline bool // of a key: its value is an inline table
	inside int  // of what an inline table has: the entry of that, as an index; else -1

	expr  span // of a key: from its begin to the end of its value
	value span // of a key
	line  span // the lines on which it stands, of what is in an inline table those of that
}

// A document is a file by the places of what is in it.
type document struct {
	text     []byte
	entries  []entry
	comments []span // in their order

	parser unstable.Parser
	arrays map[string]int // how many tables there are of each array so far
}

// index finds the places. The text is not kept.
func index(text []byte) (*document, error) {
	d := &document{text: bytes.Clone(text), arrays: map[string]int{}}
	d.parser.KeepComments = true
	d.parser.Reset(d.text)
	var above []step
	for d.parser.NextExpression() {
		switch e := d.parser.Expression(); e.Kind {
		case unstable.Comment:
			d.comments = append(d.comments, spanOf(e.Raw))
			continue
		case unstable.Table, unstable.ArrayTable:
			above = d.header(e)
		case unstable.KeyValue:
			d.keyValue(above, e, -1)
		}
		if next := d.parser.Expression().Next(); next.Valid() && next.Kind == unstable.Comment {
			d.comments = append(d.comments, spanOf(next.Raw))
		}
	}
	if err := d.parser.Error(); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	slices.SortFunc(d.comments, func(a, b span) int { return a.from - b.from })
	return d, nil
}

func spanOf(r unstable.Range) span { return span{int(r.Offset), int(r.Offset + r.Length)} }

// header notes a header, and returns its path.
func (d *document) header(e *unstable.Node) []step {
	var path []step
	var last span
	first := -1
	for it := e.Key(); it.Next(); {
		last = spanOf(it.Node().Raw)
		if first < 0 {
			first = last.from
		}
		path = append(path, step{name: string(it.Node().Data)})
		at := &path[len(path)-1]
		if it.IsLast() && e.Kind == unstable.ArrayTable {
			d.arrays[stepsText(path)]++
		}
		name := stepsText(path)
		at.nth = d.arrays[name]
	}
	d.entries = append(d.entries, entry{path: path, header: true, inside: -1, line: d.lines(span{first, last.to})})
	return path
}

// keyValue notes a key with what its value has in it; above is the path that its own is
// behind, inside the entry of the inline table that it is in.
func (d *document) keyValue(above []step, e *unstable.Node, inside int) {
	en := entry{path: slices.Clone(above), own: len(above), inside: inside, expr: spanOf(e.Raw)}
	end := 0 // of the key
	for it := e.Key(); it.Next(); {
		en.path = append(en.path, step{name: string(it.Node().Data)})
		end = spanOf(it.Node().Raw).to
	}
	from := end + bytes.IndexByte(d.text[end:], '=') + 1
	for d.text[from] == ' ' || d.text[from] == '\t' {
		from++
	}
	en.value = span{from, en.expr.to}
	en.inline = e.Value().Kind == unstable.InlineTable
	if inside >= 0 {
		en.line = d.entries[inside].line
	} else {
		en.line = d.lines(en.expr)
	}
	d.entries = append(d.entries, en)
	d.members(en.path, e.Value(), len(d.entries)-1)
}

// members notes what a value has: keys of inline tables, and comments.
func (d *document) members(path []step, value *unstable.Node, at int) {
	nth := 0
	for it := value.Children(); it.Next(); {
		switch n := it.Node(); n.Kind {
		case unstable.Comment:
			d.comments = append(d.comments, spanOf(n.Raw))
			d.members(path, n, at) // those below it
		case unstable.KeyValue:
			d.keyValue(path, n, at)
		case unstable.InlineTable, unstable.Array: // in an array
			nth++
			in := slices.Clone(path)
			in[len(in)-1].nth = nth
			d.members(in, n, at)
		default:
			nth++
		}
	}
}

// lines are the whole lines of a span, with the end of the last.
func (d *document) lines(s span) span {
	from := bytes.LastIndexByte(d.text[:s.from], '\n') + 1
	if n := bytes.IndexByte(d.text[s.to:], '\n'); n >= 0 {
		return span{from, s.to + n + 1}
	}
	return span{from, len(d.text)}
}

// eol is how lines end here.
func (d *document) eol() string {
	if n := bytes.IndexByte(d.text, '\n'); n > 0 && d.text[n-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// indent is what stands before a key on its line.
func (d *document) indent(e *entry) string {
	line := d.text[e.line.from:e.line.to]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// find returns the key with a path, or nil.
func (d *document) find(path []step) *entry {
	for i := range d.entries {
		if e := &d.entries[i]; !e.header && slices.Equal(e.path, path) {
			return e
		}
	}
	return nil
}

// body is what stands below a header, the last of those with this path; nil: above the
// first header.
func (d *document) body(header *entry) (keys []*entry, all span) {
	all = span{0, len(d.text)}
	in := header == nil
	for i := range d.entries {
		switch e := &d.entries[i]; {
		case e == header:
			in, all.from = true, e.line.to
		case e.header && in:
			all.to = e.line.from
			return keys, all
		case in && e.inside < 0:
			keys = append(keys, e)
		}
	}
	return keys, all
}

// within are the comments in a span.
func (d *document) within(s span) (texts []string) {
	for _, c := range d.comments {
		if c.from >= s.from && c.to <= s.to {
			texts = append(texts, string(d.text[c.from:c.to]))
		}
	}
	return texts
}

// splice returns the text with other bytes in place of a span.
func (d *document) splice(s span, text string) []byte {
	return slices.Concat(d.text[:s.from], []byte(text), d.text[s.to:])
}

// hoist is splice; comments that stand in the span go above the lines of the entry.
func (d *document) hoist(e *entry, s span, text string) []byte {
	above := ""
	for _, c := range d.within(s) {
		above += d.indent(e) + c + d.eol()
	}
	return slices.Concat(d.text[:e.line.from], []byte(above), d.text[e.line.from:s.from], []byte(text), d.text[s.to:])
}

// count is how many tables an array has; the last step of the path has no number.
func (d *document) count(path []step) int { return d.arrays[stepsText(path)] }

// line is the number of a line, from 1, at an offset; for people.
func (d *document) lineAt(offset int) string {
	return strconv.Itoa(1 + bytes.Count(d.text[:offset], []byte("\n")))
}
