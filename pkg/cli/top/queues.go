package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// An order is what the queues are sorted by.
type order int

// The orders. Of each the queues that need a look come first.
const (
	bySize order = iota
	byAge
	byError
	byName
)

func (o order) compare(a, b control.QueueRow) int {
	name := cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Queue, b.Queue))
	switch o {
	case bySize:
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), name)
	case byAge:
		return cmp.Or(a.Oldest.Compare(b.Oldest), name)
	case byError:
		none := func(q control.QueueRow) int { return min(1, len(q.LastError)) }
		return cmp.Or(none(b)-none(a), cmp.Compare(a.LastError, b.LastError), cmp.Compare(b.Messages, a.Messages), name)
	}
	return name
}

// A list is the queues in their order, those that the filter leaves, and the one that is
// selected: it stays selected wherever it moves.
type list struct {
	order  order
	filter string
	all    []control.QueueRow // in their order
	shown  []control.QueueRow
	at     int // the selected one of shown
	first  int // the first one on the screen
}

// set takes the rows of a look, and others when order or filter have changed.
func (l *list) set(rows []control.QueueRow) {
	was, any := l.selected()
	l.all = rows
	slices.SortFunc(l.all, l.order.compare)
	l.shown = l.all
	if l.filter != "" {
		l.shown = nil
		for _, q := range l.all {
			if l.matches(q) {
				l.shown = append(l.shown, q)
			}
		}
	}
	if any {
		if i := slices.IndexFunc(l.shown, func(q control.QueueRow) bool { return key(q) == key(was) }); i >= 0 {
			l.at = i
		}
	}
	l.at = max(0, min(l.at, len(l.shown)-1))
}

func (l *list) matches(q control.QueueRow) bool {
	text := strings.ToLower(q.Module + " " + q.Queue + " " + string(q.State) + " " + q.LastError + " " + q.Hold)
	return strings.Contains(text, strings.ToLower(l.filter))
}

func key(q control.QueueRow) control.QueueName {
	return control.QueueName{Module: q.Module, Queue: q.Queue}
}

func (l *list) selected() (control.QueueRow, bool) {
	if l.at >= len(l.shown) {
		return control.QueueRow{}, false
	}
	return l.shown[l.at], true
}

// scroll moves the selection, and the screen of some rows with it.
func (l *list) scroll(by, rows int) {
	l.at = max(0, min(l.at+by, len(l.shown)-1))
	l.keep(rows)
}

// keep keeps the selection on a screen of some rows.
func (l *list) keep(rows int) {
	l.first = min(l.first, l.at, max(0, len(l.shown)-rows))
	l.first = max(l.first, l.at-rows+1, 0)
}

// widths are the columns of the table on a screen: that of the queue and that of the error
// share what the others leave.
type widths struct{ queue, err int }

// others is how much the other columns take, with the blanks between all of them.
const others = 51

func columns(width int) widths {
	room := max(20, width-others)
	queue := max(10, min(40, room*6/10))
	return widths{queue, room - queue}
}

// head is the line above the table; the column that it is sorted by is marked.
func (l *list) head(width int) string {
	w := columns(width)
	mark := func(o order) string {
		if l.order == o {
			return "▾"
		}
		return ""
	}
	return "  " + screen.Fit("MODULE", 8) + " " + screen.Fit("QUEUE"+mark(byName), w.queue) + " " + screen.Fit("STATE", 9) +
		screen.FitRight(mark(bySize)+"MSGS", 7) + screen.FitRight("RCPTS", 7) + screen.FitRight(mark(byAge)+"OLDEST", 7) +
		screen.FitRight("NEXT", 7) + "  " + screen.Cut("LAST ERROR"+mark(byError), w.err)
}

// row is a queue in the columns of the table, in three parts: the state may be coloured.
func row(q control.QueueRow, width int, now time.Time) (before, state, after string) {
	w := columns(width)
	before = screen.Fit(screen.Firm(q.Module), 8) + " " + screen.Fit(screen.CutMiddle(screen.Firm(q.Queue), w.queue), w.queue) + " "
	state = screen.Fit(screen.Firm(string(q.State)), 9)
	oldest, next := "-", "-"
	if !q.Oldest.IsZero() {
		oldest = screen.Duration(now.Sub(q.Oldest))
	}
	if !q.NextAttempt.IsZero() {
		next = screen.Duration(q.NextAttempt.Sub(now))
	}
	after = " " + screen.FitRight(short(int64(q.Messages)), 6) + " " + screen.FitRight(short(int64(q.Recipients)), 6) + " " +
		screen.FitRight(oldest, 6) + " " + screen.FitRight(next, 6) + "  " + screen.Cut(screen.Firm(reason(q)), w.err)
	return before, state, after
}

// reason is why a queue waits, as far as a row has it.
func reason(q control.QueueRow) string {
	if q.State == control.Held && q.Hold != "" {
		return q.Hold
	}
	return q.LastError
}

// short is a number in at most six digits and a unit.
func short(n int64) string {
	for _, unit := range []string{"", "k", "M"} {
		if n < 1_000_000 {
			return fmt.Sprint(n) + unit
		}
		n /= 1000
	}
	return fmt.Sprint(n) + "G"
}

// title is a queue as the chapter writes it: SMTP(example.com).
func title(q control.QueueName) string { return screen.Firm(q.Module + "(" + q.Queue + ")") }
