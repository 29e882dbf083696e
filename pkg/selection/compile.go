package selection

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"cgq/pkg/mail"
)

const maxIDs = 1_000_000 // messages that a selection may name

// Compile checks Terms and makes a Selection of them. An error is an [*Error].
func Compile(t Terms) (*Selection, error) {
	s := &Selection{all: t.All, limit: t.Limit, hostQueues: ofQueues(t)}
	if t.Limit < 0 {
		return nil, refuse("limit", strconv.Itoa(t.Limit), "0 is no limit", "less than nothing")
	}
	if t.All {
		if len(set(t)) > 0 || t.Limit > 0 {
			return nil, refuse("all", "", "leave out one of the two", "everything in full, and something that narrows it")
		}
		return s, nil
	}
	budget := maxPatterns
	if err := s.compileTerms(t, &budget); err != nil {
		return nil, err
	}
	if err := s.compileWhere(t.Where, &budget); err != nil {
		return nil, err
	}
	if err := s.describe(); err != nil {
		return nil, err
	}
	return s, nil
}

// set returns the flags that are set, All and Limit aside.
func set(t Terms) (flags []string) {
	add := func(flag string, is bool) {
		if is {
			flags = append(flags, flag)
		}
	}
	add("ids-from", t.IDs != nil)
	add("age", len(t.Age) > 0)
	add("size", len(t.Size) > 0)
	add("where", t.Where != "")
	for i := range fields {
		add(fields[i].Flag, fields[i].given != nil && len(fields[i].given(&t)) > 0)
	}
	return flags
}

func ofQueues(t Terms) bool {
	return !slices.ContainsFunc(set(t), func(flag string) bool { return flag != "module" && flag != "queue" && flag != "state" })
}

func (s *Selection) compileTerms(t Terms, budget *int) (err error) {
	if s.ids, err = messages(t.IDs); err != nil {
		return err
	}
	if s.age, err = ages.compile(t.Age); err != nil {
		return err
	}
	if s.size, err = sizes.compile(t.Size); err != nil {
		return err
	}
	for i := range fields {
		f := &fields[i]
		if f.given == nil {
			continue
		}
		x, err := newTexts(f, &t, budget)
		if err != nil {
			return err
		}
		if x == nil {
			continue
		}
		s.texts = append(s.texts, x)
		switch f.Name {
		case "module":
			s.module = x
		case "queue":
			s.queue = x
		case "state":
			s.state = x
		}
	}
	return nil
}

// messages returns ids sorted, each once. Those that no message has are refused.
func messages(ids []mail.ID) ([]mail.ID, error) {
	if ids == nil {
		return nil, nil
	}
	list := slices.Clone(ids)
	slices.Sort(list)
	list = slices.Compact(list)
	switch {
	case len(list) == 0:
		return nil, refuse("ids-from", "", "a list without ids does not mean everything", "no id")
	case len(list) > maxIDs:
		return nil, refuse("ids-from", "", "", "%d ids; %d are allowed", len(list), maxIDs)
	case list[0] == 0:
		return nil, refuse("ids-from", "0", "ids begin with 1", "no message has this id")
	case list[len(list)-1] > math.MaxInt64:
		return nil, refuse("ids-from", list[len(list)-1].String(), "", "no message has this id")
	}
	return list, nil
}

// compileWhere compiles the expression. Ids in front of it, as String writes them,
// become ids of the selection: there may be far more than an expression may have.
func (s *Selection) compileWhere(text string, budget *int) error {
	if text == "" {
		return nil
	}
	if s.cutWhere(text, budget) {
		return nil
	}
	left := *budget
	w, err := newWhere(text, &left)
	if err != nil || w.text != text && s.cutWhere(w.text, budget) {
		return err
	}
	s.where, *budget = w, left
	return nil
}

// cutWhere is compileWhere for an expression that begins with ids and is sound.
func (s *Selection) cutWhere(text string, budget *int) bool {
	ids, rest, ok := cutIDs(text)
	if !ok {
		return false
	}
	if rest != "" {
		left := *budget
		w, err := newWhere(rest, &left)
		if err != nil {
			return false
		}
		s.where, *budget = w, left
	}
	s.narrow(ids)
	return true
}

// narrow leaves those ids that are in a sorted list as well.
func (s *Selection) narrow(ids []mail.ID) {
	if s.ids == nil {
		s.ids = ids
		return
	}
	s.ids = slices.DeleteFunc(s.ids, func(id mail.ID) bool {
		_, ok := slices.BinarySearch(ids, id)
		return !ok
	})
}

// describe makes the expression that String returns, and sees to it that Compile
// takes it.
func (s *Selection) describe() error {
	var and []string
	for _, b := range []*between{s.age, s.size} {
		if b != nil {
			and = append(and, b.expressions...)
		}
	}
	for _, x := range s.texts {
		and = append(and, x.expression())
	}
	switch {
	case s.where == nil:
	case len(and) == 0:
		and = append(and, s.where.text)
	default:
		and = append(and, "("+s.where.text+")")
	}
	s.description = strings.Join(and, " && ")
	if len(and) > 1 || s.where == nil && len(and) > 0 {
		if _, err := scan(s.description); err != nil {
			return refuse("where", "", "name less at once", "all terms together are too long for an expression")
		}
	}
	if s.ids == nil {
		return nil
	}
	if s.description == "" {
		s.description = writeIDs(s.ids)
		return nil
	}
	s.description = writeIDs(s.ids) + " && (" + s.description + ")"
	return nil
}

// The form of ids in front of an expression: id in [1, 2], or id in [1, 2] && (…).
const (
	idsOpen  = "id in ["
	idsClose = "]"
	restOpen = " && ("
)

func writeIDs(ids []mail.ID) string {
	b := []byte(idsOpen)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendUint(b, uint64(id), 10)
	}
	return string(append(b, idsClose...))
}

// cutIDs reads ids in front of an expression. They are sorted; there may be none.
func cutIDs(text string) (ids []mail.ID, rest string, ok bool) {
	text, open := strings.CutPrefix(text, idsOpen)
	list, rest, closed := strings.Cut(text, idsClose)
	if !open || !closed {
		return nil, "", false
	}
	ids = []mail.ID{}
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" && list == "" {
			break
		}
		id, ok := mail.ParseID(s)
		if !ok || id > math.MaxInt64 || len(ids) == maxIDs {
			return nil, "", false
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if rest == "" {
		return ids, "", true
	}
	rest, open = strings.CutPrefix(rest, restOpen)
	rest, closed = strings.CutSuffix(rest, ")")
	return ids, rest, open && closed && rest != ""
}
