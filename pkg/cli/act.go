package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// An acting is the flags of a command that changes something.
type acting struct{ dryRun, yes bool }

func (o *acting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "count, and change nothing")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask, however many messages it is")
}

// A deed is what such a command does, in words.
type deed struct {
	past    string // "rejected"
	unit    string // what the Outcome counts: "recipient"
	joint   string // between that and the messages: "in"; empty: they are not told
	already string // what those were that needed nothing: "not delayed"
	nothing error  // when nothing matched; nil: that is no error
	freely  bool   // nobody is asked: it can do no harm
	tells   bool   // the senders hear of it, but of what goes to the trash

	say func(out control.Outcome, dryRun bool) string // the first line, when it is another

	about control.Selection // whose first messages are shown to who has to say yes; empty: none
}

// count is "980 recipients in 412 messages", of which n is the 980.
func (d deed) count(n string, messages int) string {
	if d.joint == "" {
		return n
	}
	return n + " " + d.joint + " " + plural(messages, "message")
}

// do runs an acting request and prints what was done.
func (a *app) do(ctx context.Context, o acting, d deed, call func(dryRun bool) (control.Outcome, error)) error {
	if err := hasColumns[control.Outcome](a); err != nil {
		return err
	}
	out, err := a.act(ctx, o, d, call)
	if err != nil {
		return err
	}
	printed, err := printThing(a, out, actName(out))
	if !printed {
		_, err = io.WriteString(a.out, d.report(out, o.dryRun))
	}
	if err != nil {
		return err
	}
	return a.verdict(d, out)
}

// actName is the number of an act, by which the trash has it; empty: nothing was done.
func actName(out control.Outcome) string {
	if out.Act == 0 {
		return ""
	}
	return strconv.FormatUint(out.Act, 10)
}

// act runs an acting request: when it is about more than one message, somebody has to
// say yes first.
func (a *app) act(ctx context.Context, o acting, d deed,
	call func(dryRun bool) (control.Outcome, error),
) (control.Outcome, error) {
	if !o.dryRun && !o.yes && !d.freely {
		stop := a.progress(func() string { return "counting" })
		out, err := call(true)
		stop()
		if err != nil {
			return out, err
		}
		if out.Messages > 1 {
			if err := a.confirm(ctx, d, out); err != nil {
				return out, err
			}
		}
	}
	stop := a.progress(a.acting(ctx, d.past))
	out, err := call(o.dryRun)
	stop()
	if err == nil && out.Matched == 0 && d.nothing != nil {
		err = d.nothing
	}
	return out, err
}

// verdict is the exit status of what was done. What was so already is no failure: an act
// can be repeated.
func (a *app) verdict(d deed, out control.Outcome) error {
	switch {
	case out.Matched == 0 && out.Act == 0 && a.failEmpty:
		return errEmpty
	case out.Skipped > 0 && out.Changed+out.Already == 0:
		return fmt.Errorf("nothing could be %s", d.past)
	case out.Skipped > 0:
		return errPartly
	}
	return nil
}

// confirm asks whether to go on. Without somebody to ask the answer is no.
func (a *app) confirm(ctx context.Context, d deed, out control.Outcome) error {
	what := d.count(plural(out.Matched, d.unit), out.Messages)
	if !a.interactive {
		return fmt.Errorf("%w: %s would be %s; add --yes, or look first with --dry-run", errNotConfirmed, what, d.past)
	}
	a.sample(ctx, d.about, out.Messages)
	question := fmt.Sprintf("%s%s will be %s. Go on? [y/N] ", d.consequence(out), what, d.past)
	if answer, err := a.ask(ctx, question); err != nil || answer != "y" && answer != "yes" {
		return fmt.Errorf("%w; nothing was changed", errNotConfirmed)
	}
	return nil
}

// consequence is what somebody who says yes should know.
func (d deed) consequence(out control.Outcome) string {
	switch {
	case out.Trash:
		return "Nobody will be told; while the trash keeps them, cgq trash restore undoes it.\n"
	case d.tells:
		return "Their senders will be told, which cannot be undone.\n"
	}
	return ""
}

// samples is how many messages somebody sees who has to say yes to more.
const samples = 5

// sample shows on stderr the first messages that are meant: a selection that is wider than
// it should be is seen by its rows sooner than by its count. What cannot be shown is not.
func (a *app) sample(ctx context.Context, sel control.Selection, messages int) {
	if sel.Empty() {
		return
	}
	if sel.Limit == 0 || sel.Limit > samples {
		sel.Limit = samples
	}
	var rows []control.MessageRow
	for row, err := range control.MessageList.Do(ctx, a.client(), sel) {
		if err != nil {
			return
		}
		if rows = append(rows, row); len(rows) == samples {
			break
		}
	}
	b := *a
	b.out, b.columns, b.format, b.noHeaders, b.failEmpty = a.errOut, nil, formTable, false, false
	if len(rows) > 0 && printRows(&b, sampleTable(&b), slice(rows), false) == nil && messages > len(rows) {
		fmt.Fprintln(a.errOut, "…")
	}
}

// sampleTable is what tells a person which messages are meant.
func sampleTable(a *app) table[control.MessageRow] {
	return table[control.MessageRow]{columns: []column{
		{field: "id", head: "ID", show: showText, right: true},
		{field: "queue", head: "QUEUE", show: a.showName, elastic: true, least: leastName},
		{field: "submitted", head: "AGE", show: showAge},
		{field: "return_path", head: "RETURN PATH", show: a.showName, elastic: true, least: leastName},
		{field: "subject", head: "SUBJECT", show: showText, elastic: true},
	}}
}

// ask returns the answer to a question, in small letters; empty when there is none.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.errOut, question)
	answer := make(chan string, 1) // so that the reader below ends with its read
	go func() {
		var line []byte
		for b := make([]byte, 1); ; line = append(line, b[0]) { // what is behind the line is of the next question
			if n, err := a.in.Read(b); n == 0 && err != nil || n > 0 && b[0] == '\n' {
				break
			}
		}
		answer <- strings.ToLower(strings.TrimSpace(string(line)))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.errOut)
		return "", context.Cause(ctx)
	case s := <-answer:
		return s, nil
	}
}

// report is the answer in words: rejected 3 of 4 recipients in 2 messages (act 17); 1
// skipped: ann@example.com in 4711: being processed.
func (d deed) report(out control.Outcome, dryRun bool) string {
	var b strings.Builder
	b.WriteString(d.done(out, dryRun))
	b.WriteString(skips(out))
	for _, m := range out.Moves {
		fmt.Fprintf(&b, "\n%s → %s: %s", safe(queueName(m.FromModule, m.FromQueue)), safe(queueName(m.ToModule, m.ToQueue)),
			plural(m.Recipients, "recipient"))
	}
	if len(out.Moves) == control.MaxSkips {
		b.WriteString("\nand perhaps more: these are the largest")
	}
	switch {
	case out.Trash && dryRun:
		b.WriteString("\nthey would be in the trash, from where cgq trash restore takes them back")
	case out.Trash:
		fmt.Fprintf(&b, "\nmoved to the trash as act %d; cgq trash restore %[1]d undoes it", out.Act)
	}
	if dryRun {
		b.WriteString("\nnothing was changed")
	}
	return b.String() + "\n"
}

// done is the first line of a report, as far as what was skipped.
func (d deed) done(out control.Outcome, dryRun bool) string {
	if d.say != nil {
		return d.say(out, dryRun)
	}
	if out.Matched == 0 && out.Act == 0 {
		return fmt.Sprintf("no %s matches; nothing was %s", d.unit, d.past)
	}
	text := d.past + " " + d.count(fmt.Sprintf("%d of %d %ss", out.Changed, out.Matched, d.unit), out.Messages)
	if dryRun {
		text = "would have " + text
	}
	if out.Act > 0 {
		text += fmt.Sprintf(" (act %d)", out.Act)
	}
	if out.Already > 0 {
		were := "were"
		if out.Already == 1 {
			were = "was"
		}
		text += fmt.Sprintf("; %d %s %s", out.Already, were, d.already)
	}
	return text
}

// skips is what was left alone, if anything was.
func skips(out control.Outcome) string {
	switch {
	case out.Skipped == 1 && len(out.Skips) == 1:
		return "; 1 skipped: " + skipped(out.Skips[0])
	case out.Skipped == 0:
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; %d skipped:", out.Skipped)
	for _, s := range out.Skips {
		b.WriteString("\n  " + skipped(s))
	}
	if more := out.Skipped - len(out.Skips); more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// skipped is one that was left alone, and why.
func skipped(s control.Skip) string {
	var what []string
	if s.Recipient != "" {
		what = append(what, s.Recipient)
	}
	if s.Queue != "" && s.Recipient == "" {
		what = append(what, queueName(s.Module, s.Queue))
	}
	if s.ID != 0 {
		what = append(what, s.ID.String())
	}
	return safe(strings.Join(what, " in ") + ": " + s.Reason)
}
