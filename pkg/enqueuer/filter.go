package enqueuer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"cgq/pkg/extfilter"
	"cgq/pkg/header"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/rules"
	"cgq/pkg/serverlog"
)

// filter asks an External Filter. When that is not available, the message waits, or is
// refused for now, as its setting says; it never passes.
func (c *course) filter(ctx context.Context, a rules.Action) error {
	answer, err := c.e.server.Filters.Filter(ctx, a.Param, &extfilter.Request{ID: c.s.id, Envelope: c.s.env,
		Header: c.m.Header, Size: c.s.size, Open: c.text, Lend: c.s.lend})
	var down *extfilter.Unavailable
	switch {
	case errors.As(err, &down):
		c.log.Log(ctx, serverlog.Failure, down.Error())
		if c.e.refused.filters.Add(1); down.Wait {
			return &keep{mail.Result{Status: mail.Status{4, 3, 0}, Text: down.Error()}}
		}
		return module.Reject(4, 3, 0, "the message cannot be checked just now, try again later")
	case err != nil:
		return err
	}
	for _, note := range answer.Notes {
		c.log.Log(ctx, serverlog.Low, "External Filter "+a.Param+": "+note)
	}
	switch answer.Verdict {
	case extfilter.Reject:
		c.log.Log(ctx, serverlog.Failure, "rejected by the External Filter "+a.Param+": "+answer.Result.String())
		c.e.refused.filters.Add(1)
		return &module.Rejection{Result: answer.Result}
	case extfilter.Discard:
		c.discard, c.made = true, nil // a virus is not sent on either
		c.log.Log(ctx, serverlog.Major, "discarded by the External Filter "+a.Param)
		return nil
	case extfilter.Later:
		return &keep{answer.Result}
	case extfilter.Accept:
	}
	for _, change := range answer.Change {
		c.m.Header = changed(c.m.Header, change)
	}
	c.m.Header = added(c.m.Header, answer.Add)
	c.copyTo(answer.MirrorTo, mail.NotifyNever)
	c.copyTo(answer.Recipients, 0)
	return nil
}

// added is a header with more fields, at its end.
func added(head []byte, all []string) []byte {
	if len(all) == 0 {
		return head
	}
	end := len(head)
	if bytes.HasSuffix(head, []byte("\n\n")) || string(head) == "\n" {
		end--
	}
	return slices.Concat(head[:end], []byte(strings.Join(all, "\n")+"\n"), head[end:])
}

// changed is a header in which a field is another one, or removed.
func changed(head []byte, c extfilter.Change) []byte {
	var all []header.Field
	for f := range header.Fields(head) {
		if f.Is(c.Name) {
			all = append(all, f)
		}
	}
	switch i := c.Index; {
	case i > 0 && i <= len(all):
		all = all[i-1 : i]
	case i < 0 && -i <= len(all):
		all = all[len(all)+i:][:1]
	case i != 0:
		all = nil
	}
	if len(all) == 0 && c.Value != "" {
		return added(head, []string{c.Name + ": " + c.Value})
	}
	for n, f := range slices.Backward(all) {
		var text string
		if c.Value != "" && n == 0 {
			text = c.Name + ": " + c.Value + "\n"
		}
		head = slices.Concat(head[:f.Start], []byte(text), head[f.End:])
	}
	return head
}
