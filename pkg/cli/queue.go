package cli

import (
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newQueue(a *app) *cobra.Command {
	cmd := newGroup("queue", "Host queues: list, show, explain, shape, release, reject, backup",
		"A module keeps a queue for each host that it transfers to: SMTP one for a domain,\n"+
			"LOCAL one for an Account. A host queue is Active, Ready, Delayed or Held.\n\n"+
			"Its name is enough where only one module has it; it is also understood as logs write it:\n"+
			"cgq queue explain 'SMTP(example.com)'.")
	cmd.AddCommand(newQueueList(a), newQueueShow(a), newQueueExplain(a), newQueueShape(a), newQueueRelease(a),
		newQueueReject(a), newQueueBackup(a))
	return cmd
}

// queueTable is the list of host queues.
func queueTable(a *app) table[control.QueueRow] {
	narrow := a.narrow()
	return table[control.QueueRow]{
		columns: []column{
			{field: "module", head: "MODULE", show: showText},
			{field: "queue", head: "QUEUE", show: a.showName, elastic: true, least: leastName},
			{field: "state", head: "STATE", show: showText},
			{field: "messages", head: "MSGS", show: showText, right: true},
			{field: "recipients", head: "RCPTS", show: showText, right: true, wide: narrow},
			{field: "bytes", head: "SIZE", show: showSize, right: true, wide: narrow},
			{field: "oldest", head: "OLDEST", show: showAge},
			{field: "next_attempt", head: "NEXT IN", show: showIn},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true, wide: narrow},
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
		Use:   "list [SELECTION]",
		Short: "One row a host queue",
		Long: "Lists the host queues that match, all without flags: how much waits in each, since\n" +
			"when, when it is tried next, and the last error: of the queue as a whole, or, where only\n" +
			"messages in it wait, as for a host that greylists, of the oldest of those; such a queue is\n" +
			"suspended here, and in JSON ready with a message_error. A queue matches when a recipient\n" +
			"in it does; the numbers are those of the whole queue. On a terminal of less than 100\n" +
			"columns some are left out, and long names are cut in the middle: -o wide has all.",
		Example: "  cgq queue list\n  cgq queue list --module SMTP --state delayed --age '>2h'\n" +
			"  cgq queue list --jq '.[] | select(.messages > 100) | .queue'\n" +
			"  cgq queue list --state delayed --watch=5s",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel, err := s.parse(a, cmd, nil)
			if err != nil {
				return err
			}
			rows := rowsOf(a, cmd, &s, control.QueueList, sel)
			if !a.human() {
				return printRows(a, queueTable(a), rows, false)
			}
			var sum queueSum
			if err := printRows(a, queueTable(a), a.forPeople(rows, &sum), false); err != nil {
				return err
			}
			a.footer(sum.lines())
			return nil
		},
	}
	s.flags(a, cmd)
	return cmd
}

// forPeople are rows as people want them, which it sums up.
func (a *app) forPeople(rows iter.Seq2[control.QueueRow, error], sum *queueSum) iter.Seq2[control.QueueRow, error] {
	holds := a.format == formTable && len(a.columns) == 0 // else the hold is in its own column
	return func(yield func(control.QueueRow, error) bool) {
		for row, err := range rows {
			row = row.Seen()
			if err == nil {
				sum.add(row)
			}
			if holds && row.State == control.Held && row.Hold != "" {
				row.LastError = strings.TrimSuffix("held: "+row.Hold+"; "+row.LastError, "; ")
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func newQueueShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [MODULE] QUEUE",
		Short: "One host queue with its messages",
		Long: "Shows the page of a host queue: what it does, its last error, and a row for each\n" +
			"message in it. With -o json one object, its rows in the field messages; with jsonl,\n" +
			"csv and name the rows alone.",
		Example:           "  cgq queue show SMTP example.com\n  cgq queue show LOCAL ann@example.org -o json",
		Args:              usageArgs(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := a.hostQueue(cmd, args)
			if err != nil {
				return err
			}
			name := control.QueueName{Module: strings.ToUpper(args[0]), Queue: args[1]}
			client := a.client()
			head, err := control.QueueShow.Do(cmd.Context(), client, name)
			if err != nil {
				return err
			}
			rows := control.MessageList.Do(cmd.Context(), client,
				control.Selection{Module: []string{head.Module}, Queue: []string{literal(head.Queue)}})
			switch {
			case a.human():
				if err := a.printQueueHead(head); err != nil {
					return err
				}
			case a.format == formJSON:
				return writePage(a, head, "messages", rows)
			}
			return printRows(a, queuePage(a), rows, false)
		},
	}
}

// printQueueHead prints what the chapter has above the table of a host queue.
func (a *app) printQueueHead(q control.QueueHead) error {
	status := title(string(q.Status))
	switch {
	case q.Status == control.Delayed && !q.DelayedTill.IsZero():
		status = "Delayed till " + a.till(q.DelayedTill)
	case q.Status == control.Ready && !q.NextAttempt.IsZero():
		status = "Suspended till " + a.till(q.NextAttempt) + ": each message waits for itself"
	}
	return a.printHead([][2]string{
		{"Module", q.Module}, {"Queue", q.Queue}, {"Status", status}, {"Last Error", q.LastError},
	})
}
