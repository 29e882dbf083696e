package rules

import "strings"

// A State is what becomes of a Rule for one message.
type State string

// The states of a [Verdict].
const (
	Met        State = "met"         // all conditions hold: its actions run
	NotMet     State = "not met"     // a condition does not hold
	NotReached State = "not reached" // an action of a Rule before it ended the Rules
	Idle       State = "inactive"    // its priority is Inactive
)

// A Verdict is what becomes of one Rule for one message, and why.
type Verdict struct {
	Rule       string
	Priority   Priority
	State      State
	Conditions []Tested // empty when the Rule is not reached, or inactive
	Actions    []Action // that run
}

// A Tested is a condition with its verdict.
type Tested struct {
	Condition []string // as it is written
	Holds     bool
	Value     string // what it has looked at, for people; hostile
}

// Explain says of each Rule, in their order, what becomes of it for m, which it leaves
// as it is. What Add Header and Tag Subject change is seen by the Rules behind them;
// what a program or a filter would change cannot be known.
func (s *Set) Explain(m *Message) (all []Verdict) {
	if s == nil {
		return nil
	}
	copied := *m
	v, shown := s.look(&copied), new(view)
	defer s.views.Put(v)
	defer v.forget()
	shown.begin(&copied, true)
	ended := false
	for i := range s.rules {
		r := &s.rules[i]
		d := Verdict{Rule: r.Name, Priority: r.Priority}
		switch {
		case !r.active():
			d.State = Idle
		case ended:
			d.State = NotReached
		default:
			d.test(r, v, shown)
		}
		for _, a := range d.Actions {
			copied.Header = a.Edit(copied.Header)
			v.refresh()
			shown.refresh()
			ended = ended || a.Kind.Ends()
		}
		all = append(all, d)
	}
	return all
}

func (d *Verdict) test(r *rule, v, shown *view) {
	d.State = Met
	for i := range r.conditions {
		c := &r.conditions[i]
		t := Tested{Condition: c.written, Holds: c.holds(v), Value: c.show(shown)}
		if !t.Holds {
			d.State = NotMet
		}
		d.Conditions = append(d.Conditions, t)
	}
	if d.State != Met {
		return
	}
	for _, a := range r.actions {
		d.Actions = append(d.Actions, a)
		if a.Kind.Ends() {
			return
		}
	}
}

const (
	maxShown  = 20  // values of a condition
	shownText = 500 // bytes of them
)

// show is what a condition has looked at, for people.
func (c *condition) show(shown *view) string {
	values := shown.values(c.subject)
	if c.subject == headerField {
		values = c.shownLines(values)
	}
	if len(values) == 0 {
		return ""
	}
	more := ""
	if len(values) > maxShown {
		values, more = values[:maxShown], ", …"
	}
	text := strings.Join(values, ", ")
	if len(text) > shownText {
		text, more = strings.ToValidUTF8(text[:shownText], ""), "…"
	}
	return text + more
}

// shownLines are, of the lines of a header, those that match, or else those of the
// field that the picture names.
func (c *condition) shownLines(lines []string) (all []string) {
	for _, line := range lines {
		if c.pictures.match(fold(line)) {
			all = append(all, strings.Replace(line, ":", ": ", 1))
		}
	}
	name, _, ok := strings.Cut(c.pictures.first(), ":")
	if len(all) > 0 || !ok || strings.Contains(name, "*") {
		return all
	}
	for _, line := range lines {
		if n, _, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			all = append(all, strings.Replace(line, ":", ": ", 1))
		}
	}
	return all
}
