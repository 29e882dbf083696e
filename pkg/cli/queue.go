package cli

import (
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newQueue(a *app) *cobra.Command {
	cmd := newGroup("queue", "Host queues: list, show, release, reject, backup",
		"A module keeps a queue for each host that it transfers to: SMTP one for a domain,\n"+
			"LOCAL one for an Account. A host queue is Active, Ready, Delayed or Held.")
	cmd.AddCommand(newQueueList(a), newQueueShow(a), newQueueRelease(a), newQueueReject(a), newQueueBackup(a))
	return cmd
}

// queueTable is the list of host queues.
func queueTable() table[control.QueueRow] {
	return table[control.QueueRow]{
		columns: []column{
			{field: "module", head: "MODULE", show: showText},
			{field: "queue", head: "QUEUE", show: showText},
			{field: "state", head: "STATE", show: showText},
			{field: "messages", head: "MSGS", show: showText, right: true},
			{field: "recipients", head: "RCPTS", show: showText, right: true},
			{field: "bytes", head: "SIZE", show: showSize, right: true},
			{field: "oldest", head: "OLDEST", show: showAge},
			{field: "next_attempt", head: "NEXT IN", show: showIn},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true},
			{field: "delayed_till", head: "DELAYED TILL", show: showTill, wide: true},
			{field: "hold", head: "HOLD", show: showText, wide: true},
			{field: "last_error", head: "LAST ERROR", show: showText, elastic: true},
		},
		name: func(q control.QueueRow) string { return q.Module + " " + q.Queue },
		none: "no host queues",
	}
}

func newQueueList(a *app) *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "list",
		Short: "One row a host queue",
		Long: "Lists the host queues that match, all without flags: how much waits in each, since\n" +
			"when, when it is tried next, and the last error of the queue as a whole.",
		Example: "  cgq queue list\n  cgq queue list --module SMTP --state delayed\n" +
			"  cgq queue list -o json | jq '.[] | select(.messages > 100) | .queue'",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel, err := s.parse(cmd, nil)
			if err != nil {
				return err
			}
			return printRows(a, queueTable(), control.QueueList.Do(cmd.Context(), a.client(), sel), false)
		},
	}
	s.flags(a, cmd)
	return cmd
}

func newQueueShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show MODULE QUEUE",
		Short: "One host queue with its messages",
		Long: "Shows the page of a host queue: what it does, its last error, and a row for each\n" +
			"message in it. With -o json one object, its rows in the field messages; with jsonl,\n" +
			"csv and name the rows alone.",
		Example:           "  cgq queue show SMTP example.com\n  cgq queue show LOCAL ann@example.org -o json",
		Args:              usageArgs(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := control.QueueName{Module: strings.ToUpper(args[0]), Queue: args[1]}
			client := a.client()
			head, err := control.QueueShow.Do(cmd.Context(), client, name)
			if err != nil {
				return err
			}
			rows := control.MessageList.Do(cmd.Context(), client,
				control.Selection{Module: []string{head.Module}, Queue: []string{head.Queue}})
			switch {
			case a.human():
				if err := a.printQueueHead(head); err != nil {
					return err
				}
			case a.format == formJSON:
				return a.writeQueuePage(head, rows)
			}
			return printRows(a, queuePage(), rows, false)
		},
	}
}

// writeQueuePage writes the page as one object.
func (a *app) writeQueuePage(head control.QueueHead, rows iter.Seq2[control.MessageRow, error]) error {
	fields, err := pick(fieldsOf(reflect.TypeFor[control.MessageRow]()), a.columns)
	if err != nil {
		return err
	}
	b, err := encode(head)
	if err != nil {
		return err
	}
	return writeInside(a.out, b, "messages", func(w io.Writer) error {
		_, err := writeArray(w, rows, rowEncoder[control.MessageRow](a.columns, fields))
		return err
	})
}

// printQueueHead prints what the chapter has above the table of a host queue.
func (a *app) printQueueHead(q control.QueueHead) error {
	status := title(string(q.Status))
	if q.Status == control.Delayed && !q.DelayedTill.IsZero() {
		status = fmt.Sprintf("Delayed till %s, in %s", clock(q.DelayedTill, a.now().Location()),
			duration(q.DelayedTill.Sub(a.now())))
	}
	return a.printHead([][2]string{
		{"Module", q.Module}, {"Queue", q.Queue}, {"Status", status}, {"Last Error", q.LastError},
	})
}

func newQueueRelease(a *app) *cobra.Command {
	var s selection
	var o acting
	var allDelayed bool
	cmd := &cobra.Command{
		Use:   "release MODULE QUEUE | --all-delayed | SELECTION",
		Short: "Let a module work a delayed queue now",
		Long: "Release Now: removes the delay of a host queue, so that its module works it at once.\n" +
			"One queue is named by module and name; more are released after a question.",
		Example: "  cgq queue release SMTP example.com\n  cgq queue release --all-delayed --yes\n" +
			"  cgq queue release --module SMTP --dry-run",
		Args:              usageArgs(cobra.MaximumNArgs(2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if allDelayed {
				s.states = append(s.states, string(control.Delayed))
			}
			sel, err := s.parse(cmd, nil)
			if err != nil {
				return err
			}
			d := deed{past: "released", unit: "queue"}
			switch {
			case len(args) == 1:
				return usagef(cmd, "a host queue has a module and a name, as in SMTP example.com")
			case len(args) == 2 && !sel.Empty():
				return usagef(cmd, "name one queue, or use flags")
			case len(args) == 2:
				sel, d.nothing, d.freely = oneQueue(args), noQueue(args), true
			case sel.Empty():
				return usagef(cmd, "name a queue, or say --all-delayed")
			}
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				return control.QueueRelease.Do(cmd.Context(), a.client(), control.Act{Selection: sel, DryRun: dryRun})
			})
		},
	}
	s.flags(a, cmd)
	o.flags(cmd)
	cmd.Flags().BoolVar(&allDelayed, "all-delayed", false, "every queue that is delayed")
	return cmd
}

func newQueueReject(a *app) *cobra.Command {
	var o acting
	var r rejecting
	cmd := &cobra.Command{
		Use:   "reject MODULE QUEUE --text TEXT",
		Short: "Reject everything in a host queue",
		Long: "Reject Host Queue: fails all recipients in the queue that are not being processed.\n" +
			"The senders get a report with the text, unless --no-dsn suppresses it. More than one\n" +
			"message needs a yes.",
		Example: "  cgq queue reject SMTP example.com --text 'closed for good'\n" +
			"  cgq queue reject SMTP example.com --text 'not wanted' --no-dsn --dry-run",
		Args:              usageArgs(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			act, err := r.act(cmd, oneQueue(args))
			if err != nil {
				return err
			}
			d := rejects()
			d.nothing = noQueue(args)
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				act.DryRun = dryRun
				return control.QueueReject.Do(cmd.Context(), a.client(), act)
			})
		},
	}
	o.flags(cmd)
	r.flags(cmd)
	return cmd
}

func oneQueue(args []string) control.Selection {
	return control.Selection{Module: []string{strings.ToUpper(args[0])}, Queue: []string{args[1]}}
}

func noQueue(args []string) error {
	return control.Errorf(control.KindNoSuchQueue, "see cgq queue list", "no queue %s",
		queueName(strings.ToUpper(args[0]), args[1]))
}
