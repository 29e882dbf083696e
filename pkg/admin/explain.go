package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"cgq/pkg/control"
	"cgq/pkg/kernel"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/queue"
	"cgq/pkg/selection"
	"cgq/pkg/serverlog"
)

// names are what queue/shape counts by, beside the class of the error.
var names = map[string]func(selection.Subject) string{
	"domain": func(s selection.Subject) string { return s.Recipient().Domain },
	"sender": func(s selection.Subject) string { return s.Sender().String() },
	"error":  selection.Subject.Error,
	"module": selection.Subject.Module,
	"source": selection.Subject.Source,
}

func (s *Server) queueShape(_ context.Context, _ control.Actor, in control.ShapeQuery) iter.Seq2[control.ShapeRow, error] {
	return func(yield func(control.ShapeRow, error) bool) {
		sel, err := compile(in.Selection)
		if err != nil {
			yield(control.ShapeRow{}, err)
			return
		}
		name := names[cmp.Or(in.By, "domain")]
		if in.By == "class" {
			name = func(who selection.Subject) string { return s.class(who.Error()) }
		}
		if name == nil {
			yield(control.ShapeRow{}, control.Errorf(control.KindBadRequest, strings.Join(control.ShapeBy(), ", "), "nothing can be counted by %q", in.By))
			return
		}
		var bounds []time.Duration
		for _, b := range control.ShapeAges() {
			bounds = append(bounds, b.Duration())
		}
		shapes, err := s.Kernel.Shapes(sel, bounds, name)
		if err != nil {
			yield(control.ShapeRow{}, refused(err))
			return
		}
		all := control.ShapeRow{Ages: make([]int, len(bounds)+1)}
		limit := sel.Limit()
		for i, shape := range shapes {
			all.Total += shape.Total
			for age, n := range shape.Ages {
				all.Ages[age] += n
			}
			row := control.ShapeRow{Name: cmp.Or(shape.Name, "-"), Total: shape.Total, Ages: shape.Ages}
			if in.By == "error" {
				row.Class = s.class(shape.Name)
			}
			if (limit == 0 || i < limit) && !yield(row, nil) {
				return
			}
		}
		if len(shapes) > 0 && !yield(all, nil) {
			return
		}
		if err := s.incomplete(); err != nil {
			yield(control.ShapeRow{}, err)
		}
	}
}

// class is that of an error; empty: there is none.
func (s *Server) class(text string) string {
	if text == "" {
		return ""
	}
	return s.Class(text)
}

// errorsShown is how many errors an explanation lists.
const errorsShown = 10

// explainPatience is how long a module may look for what it says.
const explainPatience = 2 * time.Second

func (s *Server) queueExplain(ctx context.Context, _ control.Actor, in control.QueueName) (control.Explanation, error) {
	e, ok := s.Kernel.Explain(key(in))
	if !ok || e.Messages == 0 {
		return control.Explanation{}, s.noQueue(in)
	}
	out := control.Explanation{Module: e.Module, Queue: e.Queue, State: hostState(e.HostView), Messages: e.Messages, Recipients: e.Recipients,
		Ready: e.By[queue.Ready], Suspended: e.By[queue.Suspended], Held: e.By[queue.Held], Workers: e.Workers, Oldest: e.Oldest,
		Expires: e.Expires, Reasons: reasons(&e), Attempts: e.Attempts, LastError: e.LastError.String(), LastTried: e.Delay.At,
		LastHost: e.LastError.MTA, NextAttempt: e.Next, Schedule: e.Schedule, Errors: []control.ErrorRow{}}
	for text, n := range e.Errors {
		out.Errors = append(out.Errors, control.ErrorRow{Text: text, Count: n, Class: s.class(text)})
	}
	slices.SortFunc(out.Errors, func(a, b control.ErrorRow) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	out.Errors = out.Errors[:min(len(out.Errors), errorsShown)]
	ctx, cancel := context.WithTimeout(ctx, explainPatience)
	defer cancel()
	said, _ := s.Kernel.AskModule(ctx, e.Key)
	saidByModule(&out, &said)
	return out, nil
}

// saidByModule adds what its module says of a host queue.
func saidByModule(out *control.Explanation, said *module.Explanation) {
	out.Way, out.NoHosts, out.TLS, out.TriesSince = string(said.Way), said.NoHosts, string(said.TLS), said.Since
	out.Hosts, out.Tries, out.Notes = []control.HostRow{}, []control.TryRow{}, append([]string{}, said.Notes...)
	if c := said.Connections; c != (module.Connections{}) {
		out.Connections = &control.Connections{Open: c.Queue, Idle: c.Idle, Limit: c.QueueLimit, ModuleOpen: c.All, ModuleLimit: c.Limit}
	}
	for _, h := range said.Hosts {
		row := control.HostRow{Host: h.Name, Preference: h.Preference, Port: h.Port, Addresses: []string{}, Error: h.Error}
		for _, ip := range h.Addresses {
			row.Addresses = append(row.Addresses, ip.String())
		}
		out.Hosts = append(out.Hosts, row)
	}
	for _, t := range said.Tries {
		out.Tries = append(out.Tries, control.TryRow{Begin: t.Begin, Took: float64(t.Took.Round(time.Millisecond).Milliseconds()) / 1000, Host: t.Host, Address: t.Address,
			Step: string(t.Step), Outcome: string(t.Outcome), Reply: t.Reply, Messages: t.Messages, Refusals: t.Refusals, Open: t.Open})
	}
}

// reasons are why a host queue waits, those first that keep it whole.
func reasons(e *kernel.Explanation) []control.Reason {
	all := []control.Reason{}
	add := func(r control.Reason) { all = append(all, r) }
	if e.Stopping {
		add(control.Reason{Kind: "stopping", Text: "nothing is handed out: cgqd stops, or its journal is broken; the log says which"})
	}
	if e.Parked {
		add(control.Reason{Kind: "parked", Text: "the module " + e.Module + " has crashed too often and is parked until cgqd is restarted; the log has the stack"})
	}
	if e.Limits.Channels <= 0 || e.Limits.QueueChannels <= 0 {
		add(control.Reason{Kind: "no-channels", Text: "the module " + e.Module + " has no channels: its settings say so"})
	}
	for _, why := range slices.Sorted(maps.Keys(e.Holds)) {
		add(control.Reason{Kind: "held", Text: why, Count: e.Holds[why]})
	}
	if !e.Until.IsZero() {
		add(control.Reason{Kind: "delayed", Text: "the module has delayed the whole queue: " + e.LastError.String(), Until: e.Until})
	}
	if e.Paced > 0 {
		add(control.Reason{Kind: "paced", Text: "released, a few a second, as queue.acts.release_rate says", Until: e.Turn, Count: e.Paced})
	}
	if n := e.By[queue.Suspended] - e.Paced; n > 0 {
		add(control.Reason{Kind: "suspended", Text: "each message, or address of one, waits for itself, after an error of its own", Until: e.HostView.Next, Count: n})
	}
	switch ready := e.By[queue.Ready]; {
	case ready == 0 || !e.Until.IsZero():
	case e.Limits.Channels > 0 && e.ModuleWorkers >= e.Limits.Channels && e.Workers == 0:
		add(control.Reason{Kind: "channels", Text: fmt.Sprintf("all %d channels of the module %s work other queues; this one has its turn", e.Limits.Channels, e.Module), Count: ready})
	case e.Workers > 0 && e.Workers >= e.Allowed:
		add(control.Reason{Kind: "queue-channels", Text: fmt.Sprintf("%d of its channels work it, as many as it may have now; the others wait for them", e.Workers), Count: ready})
	}
	return all
}

// messageContent is the text of a message.
func (s *Server) messageContent(ctx context.Context, who control.Actor, in control.MessageID, w io.Writer) (control.Content, error) {
	if _, ok := s.Kernel.Message(in.ID); !ok {
		return control.Content{}, s.noMessage(in.ID)
	}
	text, err := s.Open(in.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return control.Content{}, s.noMessage(in.ID)
	}
	if err != nil {
		return control.Content{}, err
	}
	defer text.Close()
	s.Audit.Log(ctx, serverlog.Major, "view of message "+in.ID.String()+" by "+who.Name, "uid", who.UID, "pid", who.PID)
	n, err := io.Copy(w, text)
	return control.Content{Bytes: n}, err
}

func (s *Server) noMessage(id mail.ID) error {
	return s.missing(control.KindNoSuchMessage,
		"it may have left the queue: look for ["+id.String()+"] with cgq message trace", "no message %d in the queue", id)
}

func key(in control.QueueName) queue.Key {
	k := queue.Key{Module: strings.ToUpper(in.Module), Queue: strings.ToLower(in.Queue)}
	if ascii := inASCII(k.Queue); k.Module == "SMTP" && ascii != "" {
		k.Queue = ascii
	}
	return k
}

// inASCII is a domain as the DNS has it, and so the queue of its mail; empty: it is so
// already, or cannot be.
func inASCII(domain string) string {
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil || ascii == domain {
		return ""
	}
	return ascii
}

func (s *Server) noQueue(in control.QueueName) error {
	return s.missing(control.KindNoSuchQueue, "cgq queue list shows all that hold messages", "no queue %s(%s)", in.Module, in.Queue)
}
