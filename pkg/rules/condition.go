package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cgq/pkg/near"
)

// A condition is one compiled condition.
type condition struct {
	written  []string
	subject  subject
	quantity quantifier
	op       operator
	negative bool // is not, not in

	pictures pictures
	size     int64
	spans    []span
	date     time.Time
}

// holds says whether the condition holds for what v shows.
func (c *condition) holds(v *view) bool {
	switch c.subject {
	case messageSize:
		return c.op == less && v.m.Size < c.size || c.op == greater && v.m.Size > c.size
	case currentDate:
		date := at(c.date, v.m.Now)
		return c.op == less && v.m.Now.Before(date) || c.op == greater && v.m.Now.After(date)
	case timeOfDay:
		minute := v.m.Now.Hour()*60 + v.m.Now.Minute()
		return slices.ContainsFunc(c.spans, func(s span) bool { return s.has(minute) }) != c.negative
	case human:
		return v.values(human)[0] == ""
	}
	return c.compare(v.values(c.subject))
}

// compare holds the values against the pictures. What is absent is not like anything:
// is not and not in hold, nothing else does.
func (c *condition) compare(values []string) bool {
	if len(values) == 0 {
		return c.negative
	}
	for _, value := range values {
		like := c.pictures.match(value)
		switch {
		case c.quantity == one && like:
			return !c.negative
		case c.quantity == some && like != c.negative:
			return true
		case c.quantity == each && like == c.negative:
			return false
		}
	}
	return c.quantity == each || c.quantity == one && c.negative
}

// complain says what is wrong with a part of a Rule.
func complain(format string, args ...any) error { return fmt.Errorf(format, args...) }

// condition compiles one.
func (c *compiler) condition(written []string) (condition, error) {
	k, op, parameter, err := c.split(written)
	if err != nil {
		return condition{}, err
	}
	made := condition{written: written, subject: k.subject, quantity: k.quantity, op: op, negative: op == isNot || op == notIn}
	if why := oneLine(parameter); why != "" {
		return made, complain("%q: %s", parameter, why)
	}
	switch k.subject {
	case human:
		return made, nil
	case messageSize:
		made.size, err = parseSize(parameter)
	case timeOfDay:
		made.spans, err = parseSpans(parameter)
	case currentDate:
		made.date, err = parseDate(parameter)
	default:
		err = c.pictures(&made, k, parameter)
	}
	return made, err
}

// split takes a condition apart: its kind, operator and parameter.
func (c *compiler) split(written []string) (k conditionKind, op operator, parameter string, err error) {
	if len(written) == 0 || len(written) > 3 {
		return k, "", "", complain(`%d words; write ["From", "is", "*@example.com"]`, len(written))
	}
	i := slices.IndexFunc(c.kinds, func(k conditionKind) bool { return strings.EqualFold(k.name, written[0]) })
	if i < 0 {
		return k, "", "", complain("there is no condition %q%s", written[0], nearest(written[0], names(c.kinds, func(k conditionKind) string { return k.name })))
	}
	k = c.kinds[i]
	if k.levels&c.level == 0 {
		return k, "", "", complain("%q cannot be used here: %s", k.name, k.why)
	}
	if len(k.operators) == 0 {
		if len(written) > 1 && written[1] != string(unary) && written[1] != "" || len(written) > 2 && written[2] != "" {
			return k, "", "", complain("%q stands alone; write [%q]", k.name, k.name)
		}
		return k, unary, "", nil
	}
	if len(written) == 1 {
		return k, "", "", complain("%q has no operator; write %s", k.name, k.example())
	}
	op = operator(strings.ToLower(strings.Join(strings.Fields(written[1]), " ")))
	if !k.takes(op) {
		return k, "", "", complain("%q does not take %q; it takes %s, as in %s", k.name, written[1], quoted(k.operators), k.example())
	}
	if len(written) == 3 {
		parameter = written[2]
	}
	return k, op, parameter, nil
}

// example is how a condition of this kind is written.
func (k conditionKind) example() string {
	return fmt.Sprintf("[%q, %q, %q]", k.name, k.operators[0], k.want)
}

// pictures compiles the parameter of a condition that compares texts.
func (c *compiler) pictures(made *condition, k conditionKind, parameter string) error {
	list := []string{parameter}
	if made.op == in || made.op == notIn {
		if list = elements(parameter); len(list) == 0 {
			return complain("the list is empty; write %s", k.example())
		}
	}
	for _, e := range list {
		name, ok := strings.CutPrefix(e, "#")
		if !ok || made.op == is || made.op == isNot {
			if err := made.add(k, e); err != nil {
				return err
			}
			continue
		}
		members, ok := c.lists[fold(name)]
		if !ok {
			return complain("there is no list %q; lists stands under [lists] as %s = [\"ann@example.com\"]", e, listKey(name))
		}
		for _, m := range members {
			if err := made.add(k, m); err != nil {
				return fmt.Errorf("list %s: %w", e, err)
			}
		}
	}
	return nil
}

// add takes one picture more, as the values of its subject are written.
func (c *condition) add(k conditionKind, p string) error {
	switch words := k.subject.words(); {
	case k.subject == headerField:
		name, value, ok := strings.Cut(p, ":")
		if name = strings.TrimRight(name, " \t"); !ok && !strings.Contains(p, "*") || name == "" || strings.ContainsAny(name, " \t") {
			return complain("%q is no field; write its name, a colon and a picture, as in %q", p, k.want)
		}
		if ok {
			p = name + ":" + strings.TrimLeft(value, " \t")
		}
	case k.subject == currentDay:
		if len(p) > 3 && !strings.Contains(p, "*") && dayName(p) {
			p = p[:3]
		}
		fallthrough
	case words != nil:
		own := newPicture(p)
		if !slices.ContainsFunc(words, func(w string) bool { return own.match(fold(w)) }) {
			return complain("%q is never so; there are %s", p, strings.Join(words, ", "))
		}
	case k.subject == returnPath && p == "":
		p = "<>"
	}
	c.pictures.add(p)
	return nil
}

// dayName says whether s is the whole name of a day.
func dayName(s string) bool {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if strings.EqualFold(d.String(), s) {
			return true
		}
	}
	return false
}

func quoted(all []operator) string {
	list := make([]string, len(all))
	for i, op := range all {
		list[i] = fmt.Sprintf("%q", string(op))
	}
	return strings.Join(list, ", ")
}

func names[T any](all []T, name func(T) string) []string {
	list := make([]string, len(all))
	for i, e := range all {
		list[i] = name(e)
	}
	return list
}

// nearest says which of the names was most likely meant.
func nearest(s string, names []string) string {
	best, least := "", 1+len(s)/3
	for _, name := range names {
		if d := near.Distance(fold(s), fold(name)); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return "; there are " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
