package top

import (
	"context"
	"errors"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"cgq/pkg/control"
)

const (
	// lookWithin is how long a look at the daemon may take.
	lookWithin = 15 * time.Second
	// share is how many times as long as a look took nobody looks again: with very many
	// queues a look is work, for the daemon too.
	share = 10
)

var errSlow = fmt.Errorf("no answer within %v", lookWithin)

// A look is what the daemon said at one time.
type look struct {
	at       time.Time
	took     time.Duration
	aside    bool // it is not the one that the next one follows
	daemon   control.Daemon
	elements map[string]int64
	queues   []control.QueueRow
	rcpts    int64 // in them
	states   map[control.State]int
	err      error // nil, or why it is not all: with [control.KindIncomplete] what is there counts
}

// whole reports whether the rows of the look can be shown.
func (l look) whole() bool {
	e, told := errors.AsType[*control.Error](l.err)
	return l.err == nil || told && e.Kind == control.KindIncomplete
}

// count counts what is in the queues.
func (l *look) count() {
	l.rcpts, l.states = 0, map[control.State]int{}
	for _, q := range l.queues {
		l.rcpts += int64(q.Recipients)
		l.states[q.State]++
	}
}

// look asks the daemon for all that is on the screen.
func (m *model) look() tea.Msg {
	ctx, cancel := context.WithTimeoutCause(m.ctx, lookWithin, errSlow)
	defer cancel()
	began := m.Now()
	l := look{at: began, elements: map[string]int64{}}
	l.err = l.ask(ctx, m.Client, m.Selection)
	l.took = m.Now().Sub(began)
	return l
}

func (l *look) ask(ctx context.Context, client *control.Client, sel control.Selection) (err error) {
	if l.daemon, err = control.Ping.Do(ctx, client, control.Nothing{}); err != nil {
		return err
	}
	for e, err := range control.Stat.Do(ctx, client, control.StatQuery{}) {
		if err != nil {
			return err
		}
		l.elements[e.Name] = e.Value
	}
	for row, err := range control.QueueList.Do(ctx, client, sel) {
		if err != nil {
			return err
		}
		l.queues = append(l.queues, row.Seen())
	}
	return nil
}

// lookAside looks at once, for one who does not want to wait for the next turn.
func (m *model) lookAside() tea.Msg {
	l := m.look().(look)
	l.aside = true
	return l
}

// A turn is the time for the next look.
type turn struct{}

// next waits for it.
func (m *model) next(took time.Duration) tea.Cmd {
	return tea.Tick(max(m.Interval, share*took), func(time.Time) tea.Msg { return turn{} })
}
