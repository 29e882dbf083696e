package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

const (
	// maxWatched is how many messages a release can wait for: each is looked at.
	maxWatched = 10_000
	// maxShown is how many of them are looked at in one round.
	maxShown = 100
	// maxLogged is of how many of them the log is asked how they left.
	maxLogged = 100
	// linesOfOne is how many lines of the log are asked for about one message.
	linesOfOne = 1000
	// logWithin is how long the log may take to say so.
	logWithin = 10 * time.Second
)

// What became of a recipient that was released.
const (
	fateLeft    = "left"    // the queue; the text is how, if the log has it
	fateTried   = "tried"   // and is still there; the text is his last error
	fateHeld    = "held"    // and was not tried
	fateWaiting = "waiting" // was not tried yet
)

// A waited is a recipient that was released, and what became of him.
type waited struct {
	ID        mail.ID         `json:"id"`
	Recipient string          `json:"recipient"`
	Module    string          `json:"module"`
	Queue     string          `json:"queue"`
	Fate      string          `json:"fate"`
	Status    control.State   `json:"status,omitempty"` // of one who is still there
	RetryIn   control.Seconds `json:"retry_in,omitzero"`
	Attempts  int             `json:"attempts"`
	Text      string          `json:"text"` // hostile
}

func waitedTable() table[waited] {
	return table[waited]{
		columns: []column{
			{field: "id", head: "ID", show: showText, right: true},
			{field: "recipient", head: "RECIPIENT", show: showText},
			{field: "module", head: "MODULE", show: showText, wide: true},
			{field: "queue", head: "QUEUE", show: showText, wide: true},
			{field: "fate", head: "OUTCOME", show: showText},
			{field: "status", head: "STATUS", show: showText},
			{field: "retry_in", head: "RETRY IN", show: showWait},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true, wide: true},
			{field: "text", head: "HOW", show: showText, elastic: true},
		},
		name: func(w waited) string { return w.ID.String() + " " + w.Recipient },
		none: "no recipients",
	}
}

// A watch is the recipients that a release was about.
type watch struct {
	a      *app
	client *control.Client
	rcpts  map[mail.ID][]*waited // in the order of their messages
	open   map[mail.ID]bool      // messages with one of whom nothing is known yet
	last   mail.ID               // that was looked at closer: the next round goes on behind it
}

// place is a host queue with a message in it.
type place struct {
	id            mail.ID
	module, queue string
}

// newWatch notes who is there before the release.
func newWatch(ctx context.Context, a *app, sel control.Selection) (*watch, error) {
	w := &watch{a: a, client: a.client(), rcpts: map[mail.ID][]*waited{}, open: map[mail.ID]bool{}}
	matched := map[place]bool{}
	for row, err := range control.MessageList.Do(ctx, w.client, sel) {
		if err != nil {
			return nil, err
		}
		if w.open[row.ID] = true; len(w.open) > maxWatched {
			return nil, fmt.Errorf("--wait can watch %d messages; select less, or add --limit: nothing was released", maxWatched)
		}
		matched[place{row.ID, row.Module, row.Queue}] = true
	}
	for _, id := range w.ids() {
		m, err := control.MessageShow.Do(ctx, w.client, control.MessageID{ID: id})
		if gone(err) { // by itself, since it was listed
			delete(w.open, id)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, r := range m.Recipients {
			if matched[place{id, r.Module, r.Queue}] {
				w.rcpts[id] = append(w.rcpts[id], &waited{ID: id, Recipient: r.Recipient, Module: r.Module, Queue: r.Queue,
					Fate: fateWaiting, Status: r.Status, Attempts: r.Attempts, Text: r.LastError})
			}
		}
	}
	return w, nil
}

func (w *watch) ids() []mail.ID { return slices.Sorted(maps.Keys(w.open)) }

// until looks again and again till something is known of everybody, or ctx ends.
func (w *watch) until(ctx context.Context) error {
	var waiting atomic.Int64
	all := len(w.open)
	waiting.Store(int64(all))
	defer w.a.progress(func() string {
		return "tried " + bar(int64(all)-waiting.Load(), int64(all), "message")
	})()
	tick := time.NewTicker(w.a.every)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil || len(w.open) == 0 {
			return err
		}
		waiting.Store(int64(len(w.open)))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// look sees who has left, and looks closer at messages that nobody works just now.
func (w *watch) look(ctx context.Context) error {
	there := map[mail.ID]int{} // active recipients
	states := map[place]control.State{}
	idle := map[mail.ID]bool{}
	for row, err := range control.MessageList.Do(ctx, w.client, control.Selection{IDs: w.ids()}) {
		if err != nil {
			return err
		}
		there[row.ID] += row.Recipients
		states[place{row.ID, row.Module, row.Queue}] = row.State
		idle[row.ID] = idle[row.ID] || row.State != control.Processing && row.State != control.Ready
	}
	ids, shown := w.ids(), 0
	behind, _ := slices.BinarySearch(ids, w.last+1)
	for _, id := range slices.Concat(ids[behind:], ids[:behind]) {
		switch {
		case there[id] == 0:
			w.settle(id, nil)
		case (idle[id] || there[id] < len(w.rcpts[id])) && shown < maxShown:
			shown, w.last = shown+1, id
			m, err := control.MessageShow.Do(ctx, w.client, control.MessageID{ID: id})
			if err != nil && !gone(err) {
				return err
			}
			w.settle(id, m.Recipients)
		default:
			w.note(id, states)
		}
	}
	return nil
}

// note keeps what the list says of recipients who wait, in case that nobody looks again.
func (w *watch) note(id mail.ID, states map[place]control.State) {
	for _, r := range w.rcpts[id] {
		if state, ok := states[place{id, r.Module, r.Queue}]; ok && r.Fate == fateWaiting {
			r.Status, r.RetryIn = state, 0
		}
	}
}

// settle notes what is known of the recipients of a message, of whom those are still
// there.
func (w *watch) settle(id mail.ID, there []control.RecipientRow) {
	open := false
	for _, r := range w.rcpts[id] {
		if r.Fate != fateWaiting {
			continue
		}
		i := slices.IndexFunc(there, func(row control.RecipientRow) bool {
			return row.Recipient == r.Recipient && row.Module == r.Module && row.Queue == r.Queue
		})
		if i < 0 {
			r.Fate, r.Status, r.RetryIn, r.Text = fateLeft, "", 0, ""
			continue
		}
		row := there[i]
		r.Status, r.RetryIn = row.Status, row.RetryIn
		switch {
		case row.Status == control.Held:
			r.Fate = fateHeld
		case row.Status == control.Processing || row.Status == control.Ready:
			open = true
			continue
		// A host that answers is forgotten its attempts: less of them are no attempt of the
		// recipient's, which leaves one at least, and another error.
		case row.Attempts > r.Attempts || row.Attempts > 0 && row.LastError != r.Text:
			r.Fate = fateTried
		default: // it has its turn later: the pace of the release
			open = true
			continue
		}
		r.Attempts, r.Text = row.Attempts, row.LastError
	}
	if !open {
		delete(w.open, id)
	}
}

// rows are the recipients in the order of their messages.
func (w *watch) rows() (all []waited) {
	for _, id := range slices.Sorted(maps.Keys(w.rcpts)) {
		for _, r := range w.rcpts[id] {
			all = append(all, *r)
		}
	}
	return all
}

// explain asks the log how those left who have left. It is no failure that it cannot say.
func (w *watch) explain(ctx context.Context) {
	// Who interrupts the waiting wants this still.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logWithin)
	defer cancel()
	asked := 0
	for _, id := range slices.Sorted(maps.Keys(w.rcpts)) {
		left := slices.DeleteFunc(slices.Clone(w.rcpts[id]), func(r *waited) bool { return r.Fate != fateLeft })
		if len(left) == 0 {
			continue
		}
		if asked++; asked > maxLogged {
			return
		}
		if !w.how(ctx, id, left) { // the line comes a moment after the recipient has left
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.a.every):
			}
			w.how(ctx, id, left)
		}
	}
}

// how reads from the log how recipients of a message have left, and says whether it has
// all of them.
func (w *watch) how(ctx context.Context, id mail.ID, left []*waited) bool {
	q := control.LogQuery{Message: id, Tags: []string{"DEQUEUER"}, Lines: linesOfOne}
	for l, err := range control.LogTail.Do(ctx, w.client, q) {
		if err != nil {
			return true // it will not say more
		}
		for _, r := range left {
			if _, text, ok := strings.Cut(l.Line, queueName(r.Module, r.Queue)+r.Recipient+" "); ok {
				r.Text = text // the last one counts
			}
		}
	}
	return !slices.ContainsFunc(left, func(r *waited) bool { return r.Text == "" })
}

// releaseAndWait runs a release and reports what became of each recipient.
func (a *app) releaseAndWait(ctx context.Context, o acting, d deed, sel control.Selection, wait time.Duration,
	call func(dryRun bool) (control.Outcome, error),
) error {
	if err := hasColumns[waited](a); err != nil {
		return err
	}
	var w *watch
	out, err := a.act(ctx, o, d, func(dryRun bool) (out control.Outcome, err error) {
		if !dryRun { // now, and not before somebody has thought about it
			if w, err = newWatch(ctx, a, sel); err != nil {
				return out, err
			}
		}
		return call(dryRun)
	})
	if err != nil {
		return err
	}
	switch {
	case a.human():
		fmt.Fprint(a.out, d.report(out, false)) // at once: the rest takes a while
	case a.format != formJSON:
		fmt.Fprint(a.errOut, d.report(out, false)) // what the rows are for is a program
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err = w.until(waiting); waiting.Err() != nil {
		err = nil // the time is over, or somebody has enough: what is known is told
	}
	if ctx.Err() != nil {
		fmt.Fprintln(a.errOut, "cgq: the waiting was interrupted; the release stands")
	}
	w.explain(ctx)
	if told := a.printWaited(out, w.rows()); err == nil {
		err = told
	}
	return err
}

// printWaited prints the recipients of a release, in JSON with its counts. The error is
// the exit status.
func (a *app) printWaited(out control.Outcome, rows []waited) error {
	var err error
	if a.format == formJSON {
		err = writePage(a, out, "recipients", slice(rows))
	} else {
		err = printRows(a, waitedTable(), slice(rows), false)
	}
	if err != nil {
		return err
	}
	return waitedVerdict(rows)
}

// waitedVerdict is done when all have left, and partly done when some have.
func waitedVerdict(rows []waited) error {
	left := 0
	for _, r := range rows {
		if r.Fate == fateLeft {
			left++
		}
	}
	switch {
	case left == len(rows):
		return nil
	case left > 0:
		return errPartly
	}
	return errors.New("no recipient has left the queue")
}
