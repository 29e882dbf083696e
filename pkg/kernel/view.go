package kernel

import (
	"iter"
	"slices"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// Len is the number of messages in the queue.
func (k *Kernel) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Len()
}

// Hosts yields the host queues of a selection, sorted; the lock is taken for some
// at a time.
func (k *Kernel) Hosts(sel queue.Selection) iter.Seq[queue.HostView] {
	return func(yield func(queue.HostView) bool) {
		k.mu.Lock()
		keys := k.state.Hosts()
		k.mu.Unlock()
		for len(keys) > 0 {
			n := min(slice, len(keys))
			var views []queue.HostView
			now := time.Now()
			k.mu.Lock()
			for _, key := range keys[:n] {
				if v, ok := k.state.Host(key, now); ok && sel.Matches(key) && (len(sel.States) == 0 || slices.Contains(sel.States, v.Status())) {
					views = append(views, v)
				}
			}
			k.mu.Unlock()
			for _, v := range views {
				if !yield(v) {
					return
				}
			}
			keys = keys[n:]
		}
	}
}

// Host returns one host queue.
func (k *Kernel) Host(key queue.Key) (queue.HostView, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Host(key, time.Now())
}

// Messages yields the messages of a selection by their ids, each once; the lock is
// taken for some at a time.
func (k *Kernel) Messages(sel queue.Selection) iter.Seq[queue.MessageView] {
	return func(yield func(queue.MessageView) bool) {
		for after, more := mail.ID(0), true; more; {
			var views []queue.MessageView
			k.mu.Lock()
			views, after, more = k.state.Messages(sel, after, slice, time.Now())
			k.mu.Unlock()
			for _, v := range views {
				if !yield(v) {
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
	return k.state.Message(id, time.Now())
}
