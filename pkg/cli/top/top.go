// Package top is the live view of cgq: the host queues and the throughput on one screen,
// with keys that explain, release, hold and reject. A model changes by messages and is
// drawn as a whole (bubbletea); it asks the daemon through control's client, a look at a
// time. What a key does beyond that is a command line of cgq, which whoever made the view
// runs: so an act here asks, counts, is refused and answers as it does in a shell.
//
// The rules of its face: 80 columns and 24 lines are enough. Nothing that strangers wrote
// is drawn but through [screen.Firm]. A key that changes something first says of which
// queue; what cannot be undone needs "yes" in full, below the exact counts. Only what is
// visible is drawn, however many queues there are.
package top

import (
	"context"
	"errors"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"cgq/pkg/control"
)

// An Answer is what a command line has printed.
type Answer struct {
	Text   string // safe for a terminal, several lines perhaps
	Failed bool   // it has not done what it should
}

// Options is what the view needs.
type Options struct {
	Client    *control.Client
	Selection control.Selection // the queues that are shown; empty: all

	// Command runs a command line of cgq, without its name, as on a terminal with this
	// many columns, where nobody can be asked.
	Command func(ctx context.Context, width int, args ...string) Answer
	// Explain is the words for an error of the client, safe for a terminal.
	Explain func(error) string

	Interval time.Duration // between two looks at the daemon; longer when looks take long
	Colour   bool
	Now      func() time.Time

	In  io.Reader // of the terminal
	Out io.Writer
}

// Run shows the view until its user leaves it, or ctx ends.
func Run(ctx context.Context, o Options) error {
	p := tea.NewProgram(newModel(ctx, o), tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out),
		tea.WithoutSignalHandler()) // who made ctx has one
	_, err := p.Run()
	if ctx.Err() == nil && !errors.Is(err, tea.ErrInterrupted) { // else that is how one leaves
		return err
	}
	return nil
}
