package cli

import (
	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newMessage(a *app) *cobra.Command {
	cmd := newGroup("message", "Messages: list, show, content, trace, reject, release, reroute, drop, export",
		"A message in the Queue has a number for life, its id: in the log, in the Received\n"+
			"field, in the answer to its submitter and here.")
	cmd.Aliases = []string{"msg"}
	cmd.AddCommand(newMessageList(a), newMessageShow(a), newMessageContent(a), newMessageTrace(a), newMessageReject(a),
		newMessageRelease(a), newMessageReroute(a), newMessageDrop(a), newMessageExport(a))
	return cmd
}

// messageTable is the list of messages.
func messageTable(a *app) table[control.MessageRow] {
	narrow := a.narrow()
	return table[control.MessageRow]{
		columns: []column{
			{field: "id", head: "ID", show: showText, right: true},
			{field: "module", head: "MODULE", show: showText, wide: narrow},
			{field: "queue", head: "QUEUE", show: a.showName, elastic: true, least: leastName},
			{field: "state", head: "STATE", show: showText},
			{field: "submitted", head: "AGE", show: showAge},
			{field: "return_path", head: "RETURN PATH", show: a.showName, elastic: true, least: leastName},
			{field: "sender", head: "SENDER", show: showText, wide: true},
			{field: "source", head: "SOURCE", show: showText, wide: true},
			{field: "bytes", head: "SIZE", show: showSize, right: true, wide: narrow},
			{field: "recipients", head: "RCPTS", show: showText, right: true, wide: narrow},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true, wide: narrow},
			{field: "delayed_till", head: "DELAYED TILL", show: showTill, wide: true},
			{field: "subject", head: "SUBJECT", show: showText, wide: true},
			{field: "last_error", head: "LAST ERROR", show: showText, elastic: true},
		},
		name: messageName,
		none: "no messages",
	}
}

// queuePage is the table of the chapter's page of a host queue.
func queuePage(a *app) table[control.MessageRow] {
	delayed := showTill
	if a.narrow() {
		delayed = showIn
	}
	return table[control.MessageRow]{
		columns: []column{
			{field: "id", head: "MESSAGE", show: showText, right: true},
			{field: "module", head: "MODULE", show: showText, wide: true},
			{field: "queue", head: "QUEUE", show: showText, wide: true},
			{field: "state", head: "STATE", show: showText, wide: true},
			{field: "submitted", head: "IN QUEUE", show: showAge},
			{field: "return_path", head: "RETURN PATH", show: a.showName, elastic: true, least: leastName},
			{field: "sender", head: "SENDER", show: showText, wide: true},
			{field: "source", head: "SOURCE", show: showText, wide: true},
			{field: "recipients", head: "RECIPIENTS", show: showText, right: true},
			{field: "bytes", head: "SIZE", show: showSize, right: true},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true, wide: true},
			{field: "delayed_till", head: "DELAYED", show: delayed},
			{field: "subject", head: "SUBJECT", show: showText, wide: true},
			{field: "last_error", head: "LAST ERROR", show: showText, elastic: true},
		},
		name: messageName,
		none: "no messages",
	}
}

func messageName(m control.MessageRow) string { return m.ID.String() }

// recipientTable is the table of the chapter's Message Monitor.
func recipientTable(a *app) table[control.RecipientRow] {
	return table[control.RecipientRow]{
		columns: []column{
			{field: "recipient", head: "RECIPIENT", show: a.showName, elastic: true, least: leastName},
			{field: "module", head: "MODULE", show: showText},
			{field: "queue", head: "QUEUE", show: a.showName, elastic: true, least: leastName},
			{field: "status", head: "STATUS", show: showText},
			{field: "retry_in", head: "RETRY IN", show: showWait},
			{field: "attempts", head: "ATTEMPTS", show: showText, right: true, wide: true},
			{field: "last_error", head: "LAST ERROR", show: showText, elastic: true},
		},
		name: func(r control.RecipientRow) string { return r.Recipient },
		none: "no active recipients",
	}
}

func newMessageList(a *app) *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use:   "list [SELECTION]",
		Short: "One row a message",
		Long: "Lists the messages that match, all without flags. A message that is in several host\n" +
			"queues has a row for each; its recipients are those that match. With -o name the ids,\n" +
			"which --ids-from takes.",
		Example: "  cgq message list --queue example.com --age '>2h'\n" +
			"  cgq message list --where 'attempts > 5 && error contains \"greylist\"' -o name",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel, err := s.parse(a, cmd, nil)
			if err != nil {
				return err
			}
			var sum messageSum
			if err := printRows(a, messageTable(a), sum.of(rowsOf(a, cmd, &s, control.MessageList, sel)), false); err != nil {
				return err
			}
			if a.human() {
				a.footer(sum.lines())
			}
			return nil
		},
	}
	s.flags(a, cmd)
	return cmd
}

func newMessageShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "One message with its active recipients",
		Long: "Shows the page of a message: where it comes from, and a row for each recipient that\n" +
			"is not done. With -o json or jsonl one object; with csv and name the rows alone.",
		Example:           "  cgq message show 4711",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(cmd, args[0])
			if err != nil {
				return err
			}
			m, err := control.MessageShow.Do(cmd.Context(), a.client(), control.MessageID{ID: id})
			if err != nil {
				return err
			}
			if m.Recipients == nil {
				m.Recipients = []control.RecipientRow{} // in JSON [], not null
			}
			if printed, err := a.printOne(m); printed {
				return err
			}
			if a.human() {
				if err := a.printMessageHead(m); err != nil {
					return err
				}
			}
			if err := printRows(a, recipientTable(a), slice(m.Recipients), false); err != nil {
				return err
			}
			a.hint(messageHints(m)...)
			return nil
		},
	}
}

// printMessageHead prints the first part of the chapter's Message Monitor.
func (a *app) printMessageHead(m control.Message) error {
	lines := [][2]string{
		{"Message", m.ID.String()},
		{"Return-Path", m.ReturnPath},
		{"Message-ID", m.MessageID},
		{"Envelope-ID", m.EnvelopeID},
		{"Subject", m.Subject},
		{"Submitted", a.ago(m.Submitted)},
		{"Sender", m.Sender},
		{"Source", m.Source},
		{"Size", size(m.Bytes)},
	}
	if !m.Expires.IsZero() {
		lines = append(lines, [2]string{"Expires", a.expiry(m.Expires)})
	}
	return a.printHead(lines)
}
