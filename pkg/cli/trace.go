package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// traceTable is that of the log, with the day for people: a life may have several.
func traceTable() table[control.LogLine] {
	t := logTable()
	t.line = func(l control.LogLine) string { return l.Time.Format(time.DateOnly) + " " + l.Line }
	return t
}

// A traced is the life of a message in JSON, with its lines behind.
type traced struct {
	Message *control.Message `json:"message"` // null: it is not in the queue
}

func newMessageTrace(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "trace ID",
		Short: "The life of a message, from the log",
		Long: "Prints the page of a message, if it is still in the queue, and below it every line of\n" +
			"the log that names it, the oldest first: also of one that has gone. How much the log\n" +
			"says depends on its level. With -o json one object, its lines in the field lines; with\n" +
			"jsonl, csv and name the lines alone.",
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
	incomplete := told && e.Kind == control.KindIncomplete // it may be there: the log says more
	switch {
	case unknown == nil:
		present.Message = &m
		if m.Recipients == nil {
			m.Recipients = []control.RecipientRow{} // in JSON [], not null
		}
	case !gone(unknown) && !incomplete:
		return unknown
	}
	var lines []control.LogLine
	q := control.LogQuery{Message: id, Lines: control.MaxLogLines}
	for l, err := range control.LogTail.Do(cmd.Context(), client, q) {
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 && present.Message == nil && !incomplete {
		return control.Errorf(control.KindNoSuchMessage, "it may be older than the logs",
			"message %s is not in the queue, and no line of the log names it", id)
	}
	if err := a.printTrace(present, lines); err != nil {
		return err
	}
	if incomplete {
		return unknown
	}
	return nil
}

func (a *app) printTrace(present traced, lines []control.LogLine) error {
	switch {
	case a.format == formJSON:
		return writePage(a, present, "lines", slice(lines))
	case !a.human():
		return printRows(a, traceTable(), slice(lines), false)
	case present.Message != nil:
		if err := a.printMessageHead(*present.Message); err != nil {
			return err
		}
		if err := printRows(a, recipientTable(), slice(present.Message.Recipients), false); err != nil {
			return err
		}
		fmt.Fprintln(a.out)
	}
	if len(lines) == 0 {
		_, err := io.WriteString(a.out, "no line of the log names it: it may be older than the logs\n")
		return err
	}
	if len(lines) == control.MaxLogLines {
		fmt.Fprintf(a.errOut, "these are the last %d lines: there may be more\n", len(lines))
	}
	return printRows(a, traceTable(), slice(lines), false)
}
