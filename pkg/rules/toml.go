package rules

import (
	"fmt"
	"slices"
	"strings"
)

// head is the comment in front of a file of Rules: what can be in it.
const head = `# Settings of cgqd: rules. What is done with messages before they get into the Queue.
# "cgqd check" says what is wrong here; a running cgqd notices that it is edited;
# "cgq rules test --message FILE" shows what they do with a message. docs/rules.md is the manual.
#
# A Rule has a name, a priority from "9", the highest, to "1", or "inactive", conditions,
# which must all hold, and actions:
#
#   [[rule]]
#   name = "spam"
#   priority = "8"
#   conditions = [["Header Field", "is", "X-Spam: yes*"], ["Source", "not in", "trusted,authenticated"]]
#   actions = [["Tag Subject", "[spam]"], ["Stop Processing"]]
#
# Lists of addresses are elements of in and not in, as #Friends:
#
#   [lists]
#   Friends = ["ann@example.com", "*@example.org"]
`

// Example is the file of a new server: one Rule, which is inactive.
func Example() File {
	return File{Lists: map[string][]string{}, Rules: []Rule{{
		Name: "example: copies of what leaves", Priority: Inactive,
		Conditions: [][]string{{"Any Route", "is", "SMTP*"}, {"Source", "in", "trusted,authenticated"}},
		Actions:    [][]string{{"Mirror to", "archive@example.com"}},
	}}}
}

// Document is the file as TOML, commented.
func (f *File) Document() (string, error) { return f.TOML(), nil }

// TOML is the file as TOML: read again, it is the same.
func (f *File) TOML() string {
	var b strings.Builder
	b.WriteString(head)
	if len(f.Lists) > 0 {
		b.WriteString("\n[lists]\n")
	}
	names := make([]string, 0, len(f.Lists))
	for name := range f.Lists {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s = %s\n", listKey(name), tomlList(f.Lists[name], tomlText))
	}
	for i := range f.Rules {
		b.WriteString("\n" + f.Rules[i].TOML())
	}
	return b.String()
}

// TOML is one Rule as it stands in a file.
func (r *Rule) TOML() string {
	rows := func(all [][]string) string {
		if len(all) == 0 {
			return "[]"
		}
		lines := make([]string, len(all))
		for i, row := range all {
			lines[i] = tomlList(row, tomlText)
		}
		if len(lines) == 1 {
			return "[" + lines[0] + "]"
		}
		return "[\n  " + strings.Join(lines, ",\n  ") + ",\n]"
	}
	return "[[rule]]\nname = " + tomlText(r.Name) + "\npriority = " + tomlText(r.Priority.String()) +
		"\nconditions = " + rows(r.Conditions) + "\nactions = " + rows(r.Actions) + "\n"
}

func tomlList(all []string, text func(string) string) string {
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = text(s)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// tomlText is a text as a basic string of TOML.
func tomlText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
