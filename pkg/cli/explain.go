package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// A scheduled is one of the coming attempts of a host queue.
type scheduled struct {
	Attempt int       `json:"attempt"` // its number, if all before it fail
	At      time.Time `json:"at"`
	In      string    `json:"in"`
}

func scheduleTable() table[scheduled] {
	return table[scheduled]{
		columns: []column{
			{field: "attempt", head: "ATTEMPT", show: showText, right: true},
			{field: "at", head: "AT", show: showTill},
			{field: "in", head: "IN", show: showText, right: true},
		},
		name: func(s scheduled) string { return s.At.Format(time.RFC3339) },
	}
}

func reasonTable() table[control.Reason] {
	return table[control.Reason]{name: func(r control.Reason) string { return r.Kind }}
}

func newQueueExplain(a *app) *cobra.Command {
	var schedule bool
	cmd := &cobra.Command{
		Use:   "explain [MODULE] QUEUE",
		Short: "Why a host queue waits, and what happens next",
		Long: "Shows what a host queue does and since when, every reason why it or a part of it waits,\n" +
			"its last attempt and the next one, how many recipients have which error, and from when\n" +
			"on a failed attempt is the last of its oldest message. Of a queue of SMTP also where\n" +
			"its mail goes now, by the DNS, which is asked for two seconds at most; connections\n" +
			"and encryption; and the last attempts at each host with its replies, which cgqd\n" +
			"remembers until it is restarted. With --schedule the coming attempts, too, as they\n" +
			"are if each of them fails.\n\n" +
			"With -o json or jsonl one object, which always has the schedule; with csv and name the\n" +
			"reasons alone, or with --schedule the coming attempts.",
		Example:           "  cgq queue explain SMTP example.com\n  cgq queue explain SMTP example.com --schedule",
		Args:              usageArgs(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.human() && len(a.columns) > 0 {
				return usagef(cmd, "--columns needs -o csv here")
			}
			args, err := a.hostQueue(cmd, args)
			if err != nil {
				return err
			}
			e, err := control.QueueExplain.Do(cmd.Context(), a.client(),
				control.QueueName{Module: strings.ToUpper(args[0]), Queue: args[1]})
			if err != nil {
				return err
			}
			whole(&e)
			if printed, err := a.printOne(e); printed {
				return err
			}
			switch {
			case a.human():
				if err := a.printExplanation(e, schedule); err != nil {
					return err
				}
				a.hint(queueHints(e)...)
				return nil
			case schedule:
				return printRows(a, scheduleTable(), slice(a.schedule(e)), false)
			}
			return printRows(a, reasonTable(), slice(e.Reasons), false)
		},
	}
	cmd.Flags().BoolVar(&schedule, "schedule", false, "the coming attempts, too")
	return cmd
}

// whole makes lists that are not there empty ones: in JSON [], not null.
func whole(e *control.Explanation) {
	e.Schedule = append([]time.Time{}, e.Schedule...)
	e.Hosts = append([]control.HostRow{}, e.Hosts...)
	e.Tries = append([]control.TryRow{}, e.Tries...)
	e.Notes = append([]string{}, e.Notes...)
}

// schedule is the coming attempts of a host queue.
func (a *app) schedule(e control.Explanation) (all []scheduled) {
	for i, at := range e.Schedule {
		s := scheduled{Attempt: e.Attempts + i + 1, At: at, In: "now"}
		if d := at.Sub(a.now()); d > 0 {
			s.In = duration(d)
		}
		all = append(all, s)
	}
	return all
}

// printExplanation prints the page of an explanation.
func (a *app) printExplanation(e control.Explanation, schedule bool) error {
	lines := [][2]string{
		{"Queue", queueName(e.Module, e.Queue)},
		{"Status", a.explainedState(e)},
		{"Waiting", a.explainedParts(e)},
		{"Oldest", a.ago(e.Oldest)},
	}
	if !e.Expires.IsZero() {
		lines = append(lines, [2]string{"Expires", a.expiry(e.Expires)})
	}
	lines = append(lines, a.explainedTries(e)...)
	lines = append(lines, [2]string{"Next Try", a.nextTry(e)})
	if err := a.printHead(lines); err != nil {
		return err
	}
	var b strings.Builder
	switch {
	case len(e.Reasons) > 0:
		b.WriteString("Why it waits:\n")
	case e.State == control.Active:
		b.WriteString("Nothing keeps it: its module works it just now.\n")
	default:
		b.WriteString("Nothing keeps it: its module works it as soon as it can.\n")
	}
	for _, r := range e.Reasons {
		b.WriteString("  " + a.hang(safe(a.reason(e, r)), 4) + "\n")
	}
	if len(e.Errors) > 0 {
		b.WriteString("\nErrors:\n")
	}
	b.WriteString(a.errorLines(e.Errors))
	if lines := advise(e.Errors); len(lines) > 0 {
		b.WriteString("\nWhat that means:\n")
		for _, line := range lines {
			b.WriteString("  " + a.hang(line, 4) + "\n")
		}
	}
	b.WriteString(a.whereLines(e) + a.tryLines(e))
	if _, err := io.WriteString(a.out, b.String()); err != nil || !schedule {
		return err
	}
	fmt.Fprintln(a.out)
	if len(e.Schedule) == 0 {
		_, err := fmt.Fprintln(a.out, "No attempt is due.")
		return err
	}
	return printRows(a, scheduleTable(), slice(a.schedule(e)), false)
}

// errorLines are the errors of a host queue, each with how many have it and its class.
func (a *app) errorLines(rows []control.ErrorRow) string {
	widest := 0
	for _, r := range rows {
		widest = max(widest, len(safe(r.Class)))
	}
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "  %6d  ", r.Count)
		if widest > 0 { // an old cgqd has none
			fmt.Fprintf(&b, "%-*s  ", widest, safe(r.Class))
		}
		behind := 10
		if widest > 0 {
			behind += widest + 2
		}
		b.WriteString(a.hang(safe(r.Text), behind) + "\n")
	}
	return b.String()
}

// explainedTries is what has failed for the queue as a whole. Where only messages did, there
// is nothing of it to tell: their errors stand below.
func (a *app) explainedTries(e control.Explanation) [][2]string {
	if e.Attempts == 0 && e.LastError == "" && len(e.Errors) > 0 {
		return [][2]string{{"Attempts", "none failed for the queue as a whole, but for messages in it"}}
	}
	last := a.ago(e.LastTried)
	if e.LastHost != "" && last != "" {
		last += ", with " + e.LastHost
	}
	return [][2]string{
		{"Attempts", fmt.Sprintf("%d failed in a row", e.Attempts)},
		{"Last Failed", last},
		{"Last Error", e.LastError},
	}
}

// nextTry is when a host queue is tried next; nothing: nobody knows.
func (a *app) nextTry(e control.Explanation) string {
	switch {
	case e.State == control.Active:
		return "just now"
	case e.State == control.Held:
		return "when it is freed"
	case e.State == control.Ready && e.NextAttempt.IsZero() && e.Ready > 0:
		return "as soon as a channel is free"
	}
	return a.till(e.NextAttempt)
}

func (a *app) explainedState(e control.Explanation) string {
	text := title(string(e.State))
	if e.State == control.Ready && e.Ready == 0 && e.Suspended > 0 {
		text = title(string(control.Suspended)) // every message waits for itself
	}
	if e.Workers > 0 {
		text += ", with " + plural(e.Workers, "channel")
	}
	return text
}

// explainedParts is how much is in a host queue, and what it does.
func (a *app) explainedParts(e control.Explanation) string {
	text := plural(e.Recipients, "recipient") + " in " + plural(e.Messages, "message")
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{e.Ready, "ready"}, {e.Suspended, "suspended"}, {e.Held, "held"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}

// reason is one reason in words. The last error of the queue stands above already.
func (a *app) reason(e control.Explanation, r control.Reason) string {
	text := r.Kind + ": " + r.Text
	if r.Kind == "delayed" && e.LastError != "" {
		text = strings.TrimSuffix(text, ": "+e.LastError)
	}
	if r.Count > 0 {
		text += "; " + plural(r.Count, "recipient")
	}
	if !r.Until.IsZero() {
		text += "; till " + a.till(r.Until)
	}
	return text
}
