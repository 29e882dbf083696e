package moduletest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// A memory is a small module that delivers into a slice. Each fault makes it wrong
// in one way; without one it is right.
type memory struct {
	fault string
	final bool
	hang  chan struct{} // what the fault "hangs" waits for

	mu       sync.Mutex
	broken   bool
	arrived  []Arrival
	done     map[string]bool // by text and recipient
	claims   int
	transfer int
}

const home = "memory.example"

func (m *memory) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims++
	switch {
	case m.fault == "lower-case name":
		return "memory"
	case m.fault == "changing name" && m.claims > 1:
		return "OTHER"
	case m.fault == "no name":
		return ""
	}
	return "MEMORY"
}

func (m *memory) Claim(_ context.Context, a mail.Address, final bool) (module.Route, error) {
	m.mu.Lock()
	m.claims++
	n := m.claims
	m.mu.Unlock()
	r := module.Route{Queue: home, Address: a.Fold()}
	odd := strings.ContainsAny(a.Local, " /")
	switch m.fault {
	case "claims everything":
		return r, nil
	case "claims too early":
		final = true
	case "case-sensitive domain":
		r.Queue = a.Domain
	case "unstable queue":
		if n > 3 {
			r.Queue += strings.Repeat("x", n%2)
		}
	case "control character in queue":
		r.Queue += "\n"
	case "panics on hostile":
		if odd {
			panic("odd address")
		}
	case "fails on hostile":
		if odd {
			return module.Route{}, errors.New("open /etc/passwd: no")
		}
	case "rejects with class 2":
		if odd {
			return module.Route{}, module.Reject(2, 0, 0, "ok")
		}
	case "rejects in two lines":
		if odd {
			return module.Route{}, module.Reject(5, 1, 1, "no\nno")
		}
	}
	switch {
	case m.final && !final, !strings.EqualFold(a.Domain, home):
		return module.Route{}, module.ErrNotMine
	case odd:
		return module.Route{}, module.Reject(5, 1, 3, "not an account")
	}
	return r, nil
}

func (m *memory) Transfer(ctx context.Context, q module.Queue) {
	m.mu.Lock()
	m.transfer++
	first := m.transfer == 1
	m.mu.Unlock()
	switch m.fault {
	case "hangs":
		<-m.hang
		return
	case "panics":
		panic("nil map")
	case "one Transfer only":
		if !first {
			return
		}
	case "blames the queue for our stop":
		defer func() {
			if ctx.Err() != nil {
				q.Delay(mail.Result{Status: mail.Status{4, 4, 1}, Text: "context canceled"})
			}
		}()
	case "deaf to ctx":
		ctx = context.WithoutCancel(ctx)
	}
	var late *module.Transfer
	for t := range q.Due(ctx) {
		if m.message(ctx, q, t) {
			late = t
		}
	}
	if late != nil && m.fault == "late Settle" {
		late.Settle(0, stored)
	}
	if late != nil && m.fault == "late Open" {
		_, _ = late.Open()
	}
}

var stored = mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: "stored"}

// message transfers one message and says whether it got so far.
func (m *memory) message(ctx context.Context, q module.Queue, t *module.Transfer) bool {
	if m.fault == "drops what is repeated" && t.Repeated {
		for i := range t.Recipients {
			t.Settle(i, stored)
		}
		return true
	}
	text, ok := m.read(q, t)
	if !ok {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken && m.fault != "delivered to nowhere" {
		m.refuse(q, t)
		return false
	}
	for i, r := range t.Recipients {
		m.deliver(t, r.To, text)
		if m.fault == "forgets when stopped" && ctx.Err() != nil {
			return true
		}
		m.settle(t, i)
	}
	return true
}

// refuse says of a broken destination what there is to say.
func (m *memory) refuse(q module.Queue, t *module.Transfer) {
	r := mail.Result{Status: mail.Status{4, 4, 1}, Code: 421, Text: "out of order", MTA: home}
	switch m.fault {
	case "fails when broken":
		r.Action, r.Status = mail.Failed, mail.Status{5, 4, 1}
		r.Code = 0
		t.Settle(0, r)
	case "says nothing when broken":
	case "delays as failed":
		r.Action = mail.Failed
		r.Status, r.Code = mail.Status{5, 4, 1}, 0
		q.Delay(r)
	case "delays the message only":
		t.Delay(r)
	default:
		q.Delay(r)
	}
}

// read returns the text, or delays the message.
func (m *memory) read(q module.Queue, t *module.Transfer) (string, bool) {
	cannot := mail.Result{Status: mail.Status{4, 3, 0}, Text: "cannot be read"}
	f, err := t.Open()
	if err != nil {
		switch m.fault {
		case "fails what cannot be opened":
			cannot.Action, cannot.Status = mail.Failed, mail.Status{5, 3, 0}
			t.Settle(0, cannot)
		case "delays all for one":
			q.Delay(cannot)
		case "delivers what cannot be opened":
			return "", true
		default:
			t.Delay(cannot)
		}
		return "", false
	}
	if m.fault != "open text" {
		defer func() { _ = f.Close() }()
	}
	if m.fault == "reads what is closed" {
		_ = f.Close()
	}
	b, err := io.ReadAll(f)
	if err != nil && m.fault != "sends half" {
		t.Delay(cannot)
		return "", false
	}
	return string(b), true
}

func (m *memory) deliver(t *module.Transfer, to mail.Address, text string) {
	key := text + to.String()
	if m.done[key] && t.Repeated && m.fault != "twice when repeated" {
		return
	}
	m.done[key] = true
	switch m.fault {
	case "delivered to nowhere":
		if m.broken {
			return
		}
	case "twice":
		m.arrived = append(m.arrived, Arrival{[]mail.Address{to}, text})
	case "to the first":
		to = t.Recipients[0].To
	case "strips dots":
		text = strings.ReplaceAll(text, "\n.\n", "\n\n")
	case "eats dots":
		text = strings.ReplaceAll(text, "\n..", "\n.")
	case "wraps lines":
		if i := strings.Index(text, "\n\n") + 1000; i < len(text) {
			text = text[:i] + "\n" + text[i:]
		}
	case "trims":
		text = strings.TrimRight(text, "\n") + "\n"
	case "seven bits":
		text = strings.ToValidUTF8(text, "?")
	case "escapes From":
		text = strings.ReplaceAll(text, "\nFrom ", "\n>From ")
	case "blank line in front":
		text = "\n" + text
	case "own line in front":
		text = "Delivered-To: " + to.String() + "\n" + text // right: fields in front are accepted
	}
	m.arrived = append(m.arrived, Arrival{[]mail.Address{to}, text})
}

func (m *memory) settle(t *module.Transfer, i int) {
	r := stored
	switch m.fault {
	case "settles twice":
		t.Settle(i, r)
	case "skips the last":
		if i > 0 && i == len(t.Recipients)-1 {
			return
		}
	case "index":
		i++
	case "class":
		r.Status = mail.Status{5, 0, 0}
	case "code":
		r.Code = 550
	case "action":
		r.Action = 99
	case "no text":
		r.Text = ""
	case "two lines":
		r.Text = "ok\r\nok"
	case "escape sequence":
		r.Text = "\x1b]0;title\a"
	case "long text":
		r.Text = strings.Repeat("x", 5000)
	case "not UTF-8":
		r.MTA = "host\xff"
	case "changes the envelope":
		t.Envelope.ReturnPath.Local = strings.ToUpper(t.Envelope.ReturnPath.Local)
	case "changes a recipient":
		t.Envelope.Recipients[i].Address.Local += "+"
	case "delays the message as delivered":
		t.Delay(r)
	}
	t.Settle(i, r)
}

// fixture returns the fixture of a module with a fault, or without.
func fixture(m *memory) Fixture {
	m.done = map[string]bool{}
	set := func(broken bool) func() {
		return func() { m.mu.Lock(); defer m.mu.Unlock(); m.broken = broken }
	}
	address := func(local string) mail.Address { return mail.Address{Local: local, Domain: home} }
	return Fixture{
		Module:  m,
		Good:    []mail.Address{address("ann"), address("bob"), address("Цой")},
		Foreign: mail.Address{Local: "ann", Domain: "other.example"},
		Final:   m.final,
		Break:   set(true),
		Mend:    set(false),
		Received: func() []Arrival {
			m.mu.Lock()
			defer m.mu.Unlock()
			return slices.Clone(m.arrived)
		},
		ExactlyOnce: true,
	}
}

func TestSoundModulesPass(t *testing.T) {
	for _, tt := range []struct {
		name, fault string
		final       bool
	}{
		{name: "plain"},
		{name: "claims in the final pass", final: true},
		{name: "puts fields in front", fault: "own line in front"},
		{name: "delays messages", fault: "delays the message only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			Run(t, func(*testing.T) Fixture { return fixture(&memory{fault: tt.fault, final: tt.final}) })
		})
	}
}
