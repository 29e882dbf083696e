package enqueuer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"cgq/pkg/extfilter"
	"cgq/pkg/fact"
	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
)

// Filters are the External Filters. [extfilter.Filters] are some.
type Filters interface {
	// Filter asks the one of that name. An error matches [*extfilter.Unavailable], or is a
	// fault of ours.
	Filter(ctx context.Context, name string, r *extfilter.Request) (extfilter.Answer, error)
}

// A course is the way of one message through the server-wide Rules.
type course struct {
	e    *Enqueuer
	s    *subject
	m    rules.Message
	was  []byte // the header as it was submitted
	made []rules.Made
	ways []way
	log  *slog.Logger

	discard bool // nobody gets it, and nobody hears of that
	skip    bool // Rules of Accounts are not applied
}

// maxGrowth is how much Rules and filters may add to a header.
const maxGrowth = 64 << 10

// rules applies the server-wide Rules (chapter: the Enqueuer component applies the
// Server-Wide Rules to the message). It adds to the decision, which has the routes, what
// they come to. An error is that of decide.
func (e *Enqueuer) rules(ctx context.Context, set *rules.Set, s *subject, ways []way, now time.Time) (is decision, err error) {
	head := head(s.start)
	c := &course{e: e, s: s, was: head, ways: ways, log: e.log.With("id", s.id)}
	c.m = rules.Message{Envelope: s.env, Header: head, Size: s.size, Client: e.IsClient(s.env.Peer), Now: now}
	for _, w := range ways {
		c.m.Routes = append(c.m.Routes, w.text(s.env))
	}
	for a := range set.Run(&c.m) {
		if err := c.do(ctx, a); err != nil {
			return is, err
		}
		if len(c.m.Header) > len(head)+maxGrowth {
			c.log.Error("refused for now: Rules and filters add more than 64 KiB to its header, the last was the Rule " + a.Rule)
			return is, module.Reject(4, 3, 0, "local error, try again later")
		}
		if c.discard {
			break
		}
	}
	filtered := fact.Filtered{At: now, Skip: c.skip, Edits: changes(c.was, c.m.Header)}
	if c.skip || len(filtered.Edits) > 0 || len(c.made) > 0 || len(s.rcpts) < len(s.env.Recipients) { // else nothing would be different
		is.facts = append(is.facts, filtered)
	}
	for i, w := range ways {
		if c.discard {
			w.fact = discarded(s.rcpts[i], now)
		}
		is.facts = append(is.facts, w.fact)
	}
	is.made, err = c.drafts()
	return is, err
}

// head is the header in the start of a text, with the blank line behind it. Of one that does
// not end there it is what is whole.
func head(start []byte) []byte {
	n := header.Len(start)
	if n == len(start) && n >= headSize {
		for n--; n > 0 && (start[n-1] != '\n' || start[n] == ' ' || start[n] == '\t'); n-- {
		}
	}
	return start[:n:n]
}

// text is a route in the form of the log, MODULE(queue)address; of a recipient who is
// refused, SYSTEM(ERROR).
func (w way) text(env *mail.Envelope) string {
	if w.to.Module == "" {
		return "SYSTEM(ERROR)" + env.Recipients[w.fact.(fact.Settled).Rcpt].Address.String()
	}
	return w.to.String()
}

// do does one action.
func (c *course) do(ctx context.Context, a rules.Action) error {
	c.log.Log(ctx, serverlog.Low, "Rule "+a.Rule+": "+a.String())
	switch a.Kind {
	case rules.Discard:
		c.discard = true
		c.log.Log(ctx, serverlog.Major, "discarded by the Rule "+a.Rule)
	case rules.Reject:
		c.log.Log(ctx, serverlog.Failure, "rejected by the Rule "+a.Rule+": "+a.Param)
		c.e.refused.rules.Add(1)
		return module.Reject(5, 7, 1, reason(a.Param))
	case rules.AddHeader, rules.TagSubject:
		c.m.Header = a.Edit(c.m.Header)
	case rules.Execute:
		return c.execute(ctx, a)
	case rules.ExternalFilter:
		return c.filter(ctx, a)
	case rules.WriteToLog:
		c.log.Log(ctx, serverlog.Major, "Rule "+a.Rule+" says: "+a.Param)
	case rules.SkipAccountRules:
		c.skip = true
	default:
		return c.make(ctx, a)
	}
	return nil
}

// reason is the text of a rejection.
func reason(text string) string {
	if text == "" {
		return "the message is rejected by a Rule of this server"
	}
	return text
}

// make makes the messages of an action. What a Rule has made, or must not be answered, is
// left alone.
func (c *course) make(ctx context.Context, a rules.Action) error {
	all, err := a.Make(&c.m, c.e.server.MainDomain(), fmt.Sprintf("rule-%d-%d", c.s.id, len(c.made)+1))
	switch {
	case errors.Is(err, rules.ErrNoAnswer), errors.Is(err, rules.ErrLoop):
		c.log.Log(ctx, serverlog.Low, "Rule "+a.Rule+", "+a.Kind.String()+": "+err.Error())
		return nil
	case err != nil:
		return err
	}
	c.made = append(c.made, all...)
	return nil
}

// copyTo makes copies of the message as it is, for a filter. Of those that are sent to
// more recipients the sender hears as of his own.
func (c *course) copyTo(to []mail.Address, notify mail.Notify) {
	for _, a := range to {
		env := &mail.Envelope{ReturnPath: c.s.env.ReturnPath, Source: mail.SRULE, Body: c.s.env.Body,
			SMTPUTF8:   c.s.env.SMTPUTF8 || !a.ASCII(),
			EnvelopeID: c.s.env.EnvelopeID, Return: c.s.env.Return,
			Recipients: []mail.Recipient{{Address: a, Notify: notify}}}
		c.made = append(c.made, rules.Made{Envelope: env, Original: true})
	}
}

// text reads the message as it is now.
func (c *course) text() (io.ReadCloser, error) {
	r, err := c.s.open()
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(len(c.was))); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(c.m.Header), r), r}, nil
}

// drafts composes the messages that were made.
func (c *course) drafts() (all []draft, err error) {
	if len(c.made) == 0 {
		return nil, nil
	}
	defer func() {
		if err != nil {
			for _, d := range all {
				d.Discard()
			}
		}
	}()
	if err := c.e.admitBegotten(nil); err != nil {
		return nil, err
	}
	for _, m := range c.made {
		text := io.NopCloser(io.Reader(bytes.NewReader(nil)))
		if m.Original {
			if text, err = c.text(); err != nil {
				return all, err
			}
		}
		d, err := c.e.draft(m.Envelope, io.MultiReader(bytes.NewReader(m.Before), text, bytes.NewReader(m.After)))
		if err = errors.Join(err, text.Close()); err != nil {
			return all, err
		}
		all = append(all, draft{Draft: d, env: m.Envelope})
	}
	return all, nil
}
