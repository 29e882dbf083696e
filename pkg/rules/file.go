package rules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A File is the section rules: what Settings/rules.toml has.
type File struct {
	Lists map[string][]string `toml:"lists" doc:"lists of addresses for in and not in, where #Name is their element"`
	Rules []Rule              `toml:"rule" doc:"the Rules"`
}

// A Rule is one Rule as it is written.
type Rule struct {
	Name       string     `toml:"name" doc:"the name of the Rule"`
	Priority   Priority   `toml:"priority" doc:"9, the highest, to 1; or inactive: it is kept, but not applied"`
	Conditions [][]string `toml:"conditions" doc:"condition, operator, parameter; all must hold"`
	Actions    [][]string `toml:"actions" doc:"action, parameter; in their order"`
}

// A Priority is that of a Rule: 9 is the highest, 1 the lowest. [Inactive] Rules are kept,
// but not applied.
type Priority int

// Inactive is the Priority of a Rule that is not applied.
const Inactive Priority = 0

// String is the digit, or "inactive".
func (p Priority) String() string {
	if p == Inactive {
		return "inactive"
	}
	return strconv.Itoa(int(p))
}

// MarshalText implements [encoding.TextMarshaler].
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what String wrote, in any case.
func (p *Priority) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	if s == "inactive" || s == "0" {
		*p = Inactive
		return nil
	}
	if len(s) != 1 || s[0] < '1' || s[0] > '9' {
		return fmt.Errorf("%q is no priority; there are 9, the highest, to 1, and inactive", text)
	}
	*p = Priority(s[0] - '0')
	return nil
}

// Limits of what a File may have.
const (
	maxName      = 200      // bytes of the name of a Rule
	maxParameter = 64 << 10 // bytes of a parameter
)

// A compiler makes a Set of a File and notes all that is wrong.
type compiler struct {
	level    Level
	kinds    []conditionKind
	acts     []actionKind
	lists    map[string][]string // by folded name
	problems []error
}

// Validate says everything that is wrong: rule[2].conditions, for the conditions of the
// second Rule, then what it is, and what would be right.
func (f *File) Validate() error {
	_, err := Compile(f)
	return err
}

// Compile makes server-wide Rules of a file. Its error says everything that is wrong, as
// [File.Validate] does. The file must not be changed afterwards.
func Compile(f *File) (*Set, error) {
	c := newCompiler(ServerWide, f)
	s := &Set{file: f, rules: make([]rule, 0, len(f.Rules))}
	seen := map[string]int{}
	for i := range f.Rules {
		r := &f.Rules[i]
		if first, twice := seen[fold(r.Name)]; twice {
			c.problem(i, "name", r, fmt.Errorf("Rule %d has this name already", first))
		}
		seen[fold(r.Name)] = i + 1
		s.rules = append(s.rules, c.rule(i, r))
	}
	if len(c.problems) > 0 {
		return nil, errors.Join(c.problems...)
	}
	slices.SortStableFunc(s.rules, func(a, b rule) int { return cmp.Compare(b.Priority, a.Priority) })
	return s, nil
}

func newCompiler(level Level, f *File) *compiler {
	c := &compiler{level: level, kinds: conditionKinds(), acts: actionKinds(), lists: map[string][]string{}}
	names := make([]string, 0, len(f.Lists))
	for name := range f.Lists {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		key := "lists." + listKey(name)
		if name == "" || strings.ContainsAny(name, "#, \t") || oneLine(name) != "" {
			c.problems = append(c.problems, fmt.Errorf("lists: %q is no name of a list: no blank, comma or # is in it", name))
		}
		if _, twice := c.lists[fold(name)]; twice {
			c.problems = append(c.problems, fmt.Errorf("%s: there are two lists of this name; case does not count", key))
		}
		for _, member := range f.Lists[name] {
			if why := oneLine(member); why != "" || member == "" || strings.Contains(member, ",") {
				c.problems = append(c.problems, fmt.Errorf("%s: %q is no address and no picture of one", key, member))
			}
		}
		c.lists[fold(name)] = f.Lists[name]
	}
	return c
}

// listKey is the name of a list as TOML writes a key.
func listKey(name string) string {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return tomlText(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

// problem notes what is wrong with a part of the i-th Rule.
func (c *compiler) problem(i int, part string, r *Rule, err error) {
	c.problems = append(c.problems, fmt.Errorf("rule[%d].%s: Rule %q: %w", i+1, part, r.Name, err))
}

// rule compiles the i-th Rule.
func (c *compiler) rule(i int, r *Rule) rule {
	made := rule{Rule: *r}
	switch {
	case strings.TrimSpace(r.Name) == "":
		c.problem(i, "name", r, errors.New("a Rule needs a name"))
	case len(r.Name) > maxName || oneLine(r.Name) != "" || strings.Contains(r.Name, "\t"):
		c.problem(i, "name", r, fmt.Errorf("a name is one line of %d bytes at most", maxName))
	}
	if r.Priority < Inactive || r.Priority > 9 {
		c.problem(i, "priority", r, fmt.Errorf("%d is no priority; there are 9, the highest, to 1, and inactive", int(r.Priority)))
	}
	for n, written := range r.Conditions {
		k, err := c.condition(written)
		if err != nil {
			c.problem(i, "conditions", r, fmt.Errorf("condition %d: %w", n+1, err))
		}
		made.conditions = append(made.conditions, k)
	}
	if len(r.Actions) == 0 {
		c.problem(i, "actions", r, errors.New(`it has no action; write [["Stop Processing"]] if that is what it is for`))
	}
	for n, written := range r.Actions {
		a, err := c.action(written)
		if err != nil {
			c.problem(i, "actions", r, fmt.Errorf("action %d: %w", n+1, err))
		}
		a.Rule = r.Name
		made.actions = append(made.actions, a)
	}
	return made
}
