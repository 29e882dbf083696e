package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// traceTable gives people a line for each thing that happened, with the day: a life may
// have several. A fact looks as a line of the log would.
func traceTable() table[control.TraceRow] {
	line := func(r control.TraceRow) string {
		at := r.Time.Local()
		if r.Tag != control.TraceFact {
			return at.Format(time.DateOnly) + " " + r.Text
		}
		text := r.Text
		if r.Recipient != "" {
			text = r.Recipient + " " + text
		}
		return at.Format(time.DateOnly+" 15:04:05.000") + " - " + r.Tag + " " + text
	}
	return table[control.TraceRow]{name: line, line: line}
}

// A traced is the life of a message in JSON, with its rows behind.
type traced struct {
	Message *control.Message `json:"message"` // null: it is not in the queue
}

func newMessageTrace(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "trace ID",
		Short: "The life of a message, from its facts and the log",
		Long: "Prints the page of a message, if it is still in the queue, and below it what happened to\n" +
			"it, the oldest first: as long as it is in the queue the facts on record (FACT), and, also\n" +
			"of one that has gone, every line of the log that names it. How much the log says depends\n" +
			"on its level. With -o json one object, its rows in the field rows; with jsonl, csv and\n" +
			"name the rows alone.",
		Example:           "  cgq message trace 4711",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: first(a.completeIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(cmd, args[0])
			if err != nil {
				return err
			}
			if a.human() && len(a.columns) > 0 {
				return usagef(cmd, "--columns needs -o json, jsonl or csv here")
			}
			return a.trace(cmd, id)
		},
	}
}

func (a *app) trace(cmd *cobra.Command, id mail.ID) error {
	client := a.client()
	var present traced
	m, unknown := control.MessageShow.Do(cmd.Context(), client, control.MessageID{ID: id})
	e, told := errors.AsType[*control.Error](unknown)
	switch {
	case unknown == nil:
		present.Message = &m
		if m.Recipients == nil {
			m.Recipients = []control.RecipientRow{} // in JSON [], not null
		}
	case !gone(unknown) && !(told && e.Kind == control.KindIncomplete): // it may be there: the log says more
		return unknown
	}
	var rows []control.TraceRow
	var last error
	for r, err := range control.MessageTrace.Do(cmd.Context(), client, control.MessageID{ID: id}) {
		if last = err; err == nil {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 && last != nil {
		return last
	}
	return errors.Join(a.printTrace(present, rows), last)
}

func (a *app) printTrace(present traced, rows []control.TraceRow) error {
	switch {
	case a.format == formJSON:
		return writePage(a, present, "rows", slice(rows))
	case a.human() && present.Message != nil:
		if err := a.printMessageHead(*present.Message); err != nil {
			return err
		}
		if err := printRows(a, recipientTable(a), slice(present.Message.Recipients), false); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
	}
	return printRows(a, traceTable(), slice(rows), false)
}
