package cli

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// A selection is the flags that say which queues or messages are meant. Different
// flags narrow, a repeated one widens, but for age and size, of which all must hold. What
// the values mean the daemon knows (docs/selection.md); that none is empty is seen to
// here: a script with an unset variable must not act on more than it meant.
type selection struct {
	sel     control.Selection
	states  []string
	idsFrom string
	all     bool

	none bool // a list of ids was given, and had none: nothing is meant
}

// flags adds the flags of a command that lists.
func (s *selection) flags(a *app, cmd *cobra.Command) {
	cmd.Long += "\n\nOf a SELECTION different flags narrow and a repeated one widens; docs/selection.md has all of\n" +
		"it. A value is the whole text, of --error and --subject a part of it; * and ~regexp are many."
	f := cmd.Flags()
	for _, v := range []struct {
		name, usage string
		list        *[]string
		commas      bool // names only, which have none
		complete    cobra.CompletionFunc
	}{
		{"module", "of this `module`, such as SMTP", &s.sel.Module, true, a.completeModules},
		{"queue", "of this host `queue`, such as example.com", &s.sel.Queue, false, a.completeQueues},
		{"state", "in this `state`: " + strings.Join(states(), ", "), &s.states, true, fixed(states()...)},
		{"sender", "of this return `path`; <> is the null one", &s.sel.Sender, false, a.completeSenders},
		{"rcpt", "to this `recipient`", &s.sel.Rcpt, false, cobra.NoFileCompletions},
		{"sender-domain", "of a return path in this `domain`", &s.sel.SenderDomain, false, cobra.NoFileCompletions},
		{"rcpt-domain", "to a recipient in this `domain`", &s.sel.RcptDomain, false, cobra.NoFileCompletions},
		{"auth", "of this authenticated sender's `Account`", &s.sel.Auth, false, a.completeAuth},
		{"source", "submitted by this `tag`: SMTP, PIPE, DSN, LIST, …", &s.sel.Source, true, fixed(sources()...)},
		{"error", "whose last error has this `text`, or matches ~regexp", &s.sel.Error, false, cobra.NoFileCompletions},
		{"subject", "whose Subject has this `text`, or matches ~regexp", &s.sel.Subject, false, cobra.NoFileCompletions},
		{"age", "of this `age`: '>2h', '<10m', 2h..4h", &s.sel.Age, false, cobra.NoFileCompletions},
		{"size", "of this `size`: '>1M', '<10k', 1M..2M", &s.sel.Size, false, cobra.NoFileCompletions},
	} {
		hint := ""
		if v.name == "sender" {
			hint = "the null return path is written <>"
		}
		f.Var(&values{v.list, v.commas, hint}, v.name, v.usage)
		_ = cmd.RegisterFlagCompletionFunc(v.name, v.complete) // the flag is there
	}
	f.Var(&once{&s.sel.Where, "join expressions with &&"}, "where", "for which this `expression` holds, such as 'attempts > 5'")
	f.Var((*limit)(&s.sel.Limit), "limit", "at most this `many`")
	f.Var(&once{&s.idsFrom, "put the ids into one"}, "ids-from", "the ids in this `file`, one a line; - is standard input")
	_ = cmd.RegisterFlagCompletionFunc("where", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("limit", cobra.NoFileCompletions)
}

// acting adds the flags of a command that acts: everything has to be said.
func (s *selection) acting(a *app, cmd *cobra.Command) {
	s.flags(a, cmd)
	cmd.Flags().BoolVar(&s.all, "all", false, "everything in the Queue")
}

var errEmptyValue = errors.New("an empty value; leave the flag out, or give it a value")

// values is a flag that may be repeated.
type values struct {
	list   *[]string
	commas bool   // one value may be several
	hint   string // what to write for nothing
}

func (v *values) Set(s string) error {
	parts := []string{s}
	if v.commas {
		parts = strings.Split(s, ",")
	}
	for _, p := range parts {
		if strings.TrimSpace(p) == "" && v.hint != "" {
			return errors.New("an empty value; " + v.hint)
		}
		if strings.TrimSpace(p) == "" {
			return errEmptyValue
		}
	}
	*v.list = append(*v.list, parts...)
	return nil
}

func (v *values) String() string { return "" }
func (v *values) Type() string   { return "strings" }

// once is a flag that is given once: the last one alone would mean more than both.
type once struct {
	value *string
	hint  string
}

func (o *once) Set(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errEmptyValue
	case *o.value != "":
		return errors.New("it is given twice; " + o.hint)
	}
	*o.value = s
	return nil
}

func (o *once) String() string { return "" }
func (o *once) Type() string   { return "string" }

// limit is a flag that is at least 1: none is no limit.
type limit int

func (l *limit) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return errors.New("not a number from 1 on")
	}
	*l = limit(n)
	return nil
}

func (l *limit) String() string { return "0" }
func (l *limit) Type() string   { return "int" }

func states() []string {
	var list []string
	for _, s := range []control.State{control.Active, control.Processing, control.Ready, control.Suspended,
		control.Delayed, control.Held} {
		list = append(list, string(s))
	}
	return list
}

// sources are the Submit Address tags.
func sources() []string {
	var list []string
	for s := mail.SMTP; ; s++ {
		if _, ok := mail.ParseSource(s.String()); !ok {
			return list
		}
		list = append(list, s.String())
	}
}

// parse returns the selection with the ids that are arguments. Of these and those of a
// list only the ids are meant that are in both.
func (s *selection) parse(a *app, cmd *cobra.Command, args []string) (control.Selection, error) {
	sel := s.sel
	sel.All = s.all
	for _, state := range s.states {
		if state = strings.ToLower(state); !slices.Contains(states(), state) {
			return sel, usagef(cmd, "no state %q; there are %s", state, strings.Join(states(), ", "))
		}
		sel.State = append(sel.State, control.State(state))
	}
	for _, arg := range args {
		id, err := parseID(cmd, arg)
		if err != nil {
			return sel, err
		}
		sel.IDs = append(sel.IDs, id)
	}
	if s.idsFrom == "" {
		return sel, nil
	}
	ids, err := a.readIDs(cmd, s.idsFrom)
	if err != nil {
		return sel, err
	}
	if len(sel.IDs) > 0 {
		ids = slices.DeleteFunc(ids, func(id mail.ID) bool { return !slices.Contains(sel.IDs, id) })
	}
	sel.IDs, s.none = ids, len(ids) == 0
	return sel, nil
}

// narrows reports whether there is a flag, other than these, that narrows what the
// arguments name.
func (s *selection) narrows(cmd *cobra.Command, others ...string) (narrows bool) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Value.(type) {
		case *values, *once, *limit:
			narrows = narrows || !slices.Contains(others, f.Name)
		}
	})
	return narrows
}

// rowsOf asks for the rows of a selection, unless it can have none.
func rowsOf[In, Row any](a *app, cmd *cobra.Command, s *selection, list control.Stream[In, Row], in In,
) iter.Seq2[Row, error] {
	if s.none {
		return slice[Row](nil)
	}
	return list.Do(cmd.Context(), a.client(), in)
}

func parseID(cmd *cobra.Command, arg string) (mail.ID, error) {
	id, ok := mail.ParseID(strings.TrimSuffix(strings.TrimPrefix(arg, "["), "]")) // [4711] is how the logs write it
	if !ok {
		return 0, usagef(cmd, "%q is not the id of a message", arg)
	}
	return id, nil
}

// queueName is what the chapter calls a host queue: SMTP(example.com).
func queueName(module, queue string) string { return fmt.Sprintf("%s(%s)", module, queue) }

// literal is an argument that names one thing, as a value of a flag, where * and ~ would
// name many.
func literal(name string) string { return control.Literal(name) }
