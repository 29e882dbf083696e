package enqueuer

import (
	"bytes"
	"context"
	"errors"
	"maps"
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
	c.m.Header = added(changed(c.m.Header, answer.Change), answer.Add)
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

// changed is a header with the changes that a filter has made in it as it was shown: a
// field that it removes changes the number of no other.
func changed(head []byte, changes []extfilter.Change) []byte {
	edits := map[int]string{} // by where a field starts; empty: it is removed
	ends := map[int]int{}
	var more []string
	for _, c := range changes {
		var text string
		if c.Value != "" {
			text = c.Name + ": " + c.Value + "\n"
		}
		all := meant(head, c)
		if len(all) == 0 && c.Value != "" {
			more = append(more, strings.TrimSuffix(text, "\n"))
		}
		for _, f := range all {
			edits[f.Start], ends[f.Start] = text, f.End
			text = "" // of all of a name one is left
		}
	}
	for _, at := range slices.Backward(slices.Sorted(maps.Keys(edits))) {
		head = slices.Concat(head[:at], []byte(edits[at]), head[ends[at]:])
	}
	return added(head, more)
}

// meant are the fields that a change is about.
func meant(head []byte, c extfilter.Change) (all []header.Field) {
	for f := range header.Fields(head) {
		if f.Is(c.Name) {
			all = append(all, f)
		}
	}
	switch i := c.Index; {
	case i == 0:
		return all
	case i > 0 && i <= len(all):
		return all[i-1 : i]
	case i < 0 && -i <= len(all):
		return all[len(all)+i:][:1]
	}
	return nil
}
