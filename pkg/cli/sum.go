package cli

import (
	"fmt"
	"iter"
	"strings"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// A queueSum is what stands below a list of host queues.
type queueSum struct {
	queues, recipients int
	states             map[control.State]int
	most               control.QueueRow // of those that wait, the one with the most messages
}

func (s *queueSum) add(q control.QueueRow) {
	if s.states == nil {
		s.states = map[control.State]int{}
	}
	s.queues++
	s.recipients += q.Recipients
	s.states[q.State]++
	if q.State != control.Active && q.State != control.Ready && q.Messages > s.most.Messages {
		s.most = q
	}
}

// lines are how many there are, and how to learn more of the largest that waits.
func (s *queueSum) lines() (lines []string) {
	if s.queues < 2 { // one is no sum
		return nil
	}
	var parts []string
	for _, st := range []control.State{control.Active, control.Ready, control.Suspended, control.Delayed, control.Held} {
		if n := s.states[st]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, st))
		}
	}
	lines = []string{fmt.Sprintf("%s: %s; %s", plural(s.queues, "host queue"), strings.Join(parts, ", "),
		plural(s.recipients, "recipient"))}
	if s.most.Queue != "" {
		lines = append(lines, "why: cgq queue explain "+word(s.most.Module)+" "+word(s.most.Queue))
	}
	return lines
}

// A messageSum is what stands below a list of messages, which has a row for each host queue
// of one.
type messageSum struct {
	rows, messages, recipients int
	bytes                      int64
	last                       mail.ID
}

// of are the rows, which it sums up.
func (s *messageSum) of(rows iter.Seq2[control.MessageRow, error]) iter.Seq2[control.MessageRow, error] {
	return func(yield func(control.MessageRow, error) bool) {
		for row, err := range rows {
			if err == nil {
				s.rows++
				s.recipients += row.Recipients
				if row.ID != s.last {
					s.messages, s.bytes, s.last = s.messages+1, s.bytes+row.Bytes, row.ID
				}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (s *messageSum) lines() []string {
	if s.rows < 2 {
		return nil
	}
	return []string{fmt.Sprintf("%s, %s, %s", plural(s.messages, "message"), plural(s.recipients, "recipient"), size(s.bytes))}
}

// footer prints on a terminal what stands below a list. It is no data.
func (a *app) footer(lines []string) {
	if !a.bars || a.width == 0 || len(lines) == 0 {
		return
	}
	fmt.Fprintln(a.errOut, "\n"+strings.Join(lines, "\n"))
}
