package kernel

import (
	"iter"
	"slices"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
)

// Len is the number of messages in the queue.
func (k *Kernel) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Len()
}

// Incoming is how many messages were accepted and are not enqueued yet.
func (k *Kernel) Incoming() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, _ := k.state.Host(queue.Key{Module: queue.Enqueuer, Queue: queue.Incoming}, k.now())
	return v.Messages
}

// steps goes through the messages by their ids, the lock taken for some at a time: step is
// called with it, and says how far it came, and whether there is more.
func (k *Kernel) steps(step func(after mail.ID) (last mail.ID, more bool)) {
	for after, more := mail.ID(0), true; more; {
		k.mu.Lock()
		after, more = step(after)
		k.mu.Unlock()
	}
}

// Hosts yields the host queues of a selection, sorted, as many as it names at most; the
// lock is taken for some at a time. Of a selection that names more than whole host queues,
// each is counted as far as its messages are of it. An error, of its expression, is the
// last.
func (k *Kernel) Hosts(sel *selection.Selection) iter.Seq2[queue.HostView, error] {
	return func(yield func(queue.HostView, error) bool) {
		var parts map[queue.Key]*part
		if sel != nil && !sel.OfQueues() {
			var err error
			if parts, err = k.parts(sel); err != nil {
				yield(queue.HostView{}, err)
				return
			}
		}
		k.mu.Lock()
		keys := k.state.Hosts()
		k.mu.Unlock()
		found := 0
		views := make([]queue.HostView, 0, min(slice, len(keys)))
		for some := range slices.Chunk(keys, slice) {
			views = k.hosts(views[:0], sel, parts, some)
			for _, v := range views {
				if found++; sel != nil && sel.Limit() > 0 && found > sel.Limit() || !yield(v, nil) {
					return
				}
			}
		}
	}
}

// hosts appends those of some host queues that are of a selection.
func (k *Kernel) hosts(views []queue.HostView, sel *selection.Selection, parts map[queue.Key]*part, keys []queue.Key) []queue.HostView {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for _, key := range keys {
		v, ok := k.state.Host(key, now)
		switch {
		case !ok:
		case sel == nil:
			views = append(views, v)
		case parts != nil:
			if p := parts[key]; p != nil {
				v.Messages, v.Recipients, v.Bytes, v.Oldest = p.messages, p.recipients, p.bytes, p.oldest
				views = append(views, v)
			}
		case sel.MayMatch(key.Module, key.Queue) && sel.HasState(v.Status().Word()):
			views = append(views, v)
		}
	}
	return views
}

// A part is as much of a host queue as a selection is about.
type part struct {
	messages   int
	recipients int
	bytes      int64
	oldest     time.Time
	last       mail.ID
}

// parts counts what a selection selects of each host queue.
func (k *Kernel) parts(sel *selection.Selection) (map[queue.Key]*part, error) {
	parts := map[queue.Key]*part{}
	err := k.each(sel, func(who selection.Subject, _ time.Duration) {
		key := queue.Key{Module: who.Module(), Queue: who.Queue()}
		p := parts[key]
		if p == nil {
			p = &part{oldest: who.Submitted()}
			parts[key] = p
		}
		if p.recipients++; p.last != who.ID() {
			p.messages, p.bytes, p.last = p.messages+1, p.bytes+who.Size(), who.ID()
		}
	})
	return parts, err
}

// Host returns one host queue.
func (k *Kernel) Host(key queue.Key) (queue.HostView, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Host(key, k.now())
}

// Messages yields the messages of a selection by their ids, each once, as many as it
// names at most; the lock is taken for some at a time. An error, of its expression, is the
// last.
func (k *Kernel) Messages(sel *selection.Selection) iter.Seq2[queue.MessageView, error] {
	return func(yield func(queue.MessageView, error) bool) {
		found, end := 0, k.newestID()
		for after, more := mail.ID(0), true; more && after < end; {
			var views []queue.MessageView
			var err error
			k.mu.Lock()
			views, after, more, err = k.state.Messages(sel, after, slice, k.now())
			k.mu.Unlock()
			if err != nil {
				yield(queue.MessageView{}, err)
				return
			}
			for _, v := range views {
				if found++; sel != nil && sel.Limit() > 0 && found > sel.Limit() || !yield(v, nil) {
					return
				}
			}
		}
	}
}

// Message returns one message.
func (k *Kernel) Message(id mail.ID) (queue.MessageView, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Message(id, k.now())
}
