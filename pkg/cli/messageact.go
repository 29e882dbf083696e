package cli

import (
	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// A rejecting is the flags of a reject.
type rejecting struct {
	text  string
	noDSN bool
}

func (r *rejecting) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.text, "text", "", "the reason, for the reports; always needed, the log keeps it")
	cmd.Flags().BoolVar(&r.noDSN, "no-dsn", false, "Suppress Failed Delivery Reports; see cgq trash")
	_ = cmd.RegisterFlagCompletionFunc("text", cobra.NoFileCompletions) // the flag is there
}

// act returns the request for a selection.
func (r *rejecting) act(cmd *cobra.Command, sel control.Selection) (control.Act, error) {
	if r.text == "" {
		return control.Act{}, usagef(cmd, "give the reason with --text")
	}
	return control.Act{Selection: sel, Text: r.text, NoDSN: r.noDSN}, nil
}

// rejects is what a reject does.
func rejects() deed {
	return deed{past: "rejected", unit: "recipient", joint: "in", already: "rejected already", tells: true}
}

// A messageAct is a command that acts on messages, which ids and flags name.
type messageAct struct {
	s    selection
	o    acting
	d    deed
	call control.Call[control.Act, control.Outcome]
	fill func(cmd *cobra.Command, sel control.Selection) (control.Act, error)
}

// command adds to cmd what all of them have.
func (m *messageAct) command(a *app, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.ValidArgsFunction = a.completeIDs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sel, err := m.s.parseMessages(a, cmd, args)
		if err != nil {
			return err
		}
		act, err := m.fill(cmd, sel)
		if err != nil {
			return err
		}
		d := m.d
		if len(args) == 1 && !m.s.narrows(cmd) {
			d.nothing = control.Errorf(control.KindNoSuchMessage, "see cgq message list", "no message %s", args[0])
		}
		return a.doAct(cmd, &m.s, m.o, d, m.call, act)
	}
	m.s.acting(a, cmd)
	m.o.flags(cmd)
	return cmd
}

// parseMessages returns the selection of a command that does not take nothing for all.
func (s *selection) parseMessages(a *app, cmd *cobra.Command, args []string) (control.Selection, error) {
	sel, err := s.parse(a, cmd, args)
	if err == nil && sel.Empty() && !s.none {
		err = usagef(cmd, "name messages by their ids or by flags, or say --all")
	}
	return sel, err
}

func newMessageReject(a *app) *cobra.Command {
	var r rejecting
	m := messageAct{d: rejects(), call: control.MessageReject, fill: r.act}
	cmd := m.command(a, &cobra.Command{
		Use:   "reject ID... | SELECTION --text TEXT",
		Short: "Reject messages",
		Long: "Reject Message: fails all active recipients of the messages, or those that match, that\n" +
			"are not being processed. It counts recipients. The senders get a report with the text,\n" +
			"unless --no-dsn suppresses it: then what is rejected rests in the trash for a day.\n" +
			"More than one message needs a yes.",
		Example: "  cgq message reject 4711 --text 'not wanted'\n" +
			"  cgq message reject --module SMTP --rcpt-domain example.com --text 'line closed' --dry-run",
	})
	r.flags(cmd)
	return cmd
}

func newMessageDrop(a *app) *cobra.Command {
	var text string
	m := messageAct{
		d:    deed{past: "dropped", unit: "recipient", joint: "in", already: "dropped already"},
		call: control.MessageReject,
		fill: func(_ *cobra.Command, sel control.Selection) (control.Act, error) {
			return control.Act{Selection: sel, Text: text, NoDSN: true}, nil
		},
	}
	cmd := m.command(a, &cobra.Command{
		Use:   "drop ID... | SELECTION",
		Short: "Take messages out of the queue, and tell nobody",
		Long: "Rejects messages, or the recipients that match, without a report: nobody hears of it.\n" +
			"It counts recipients. They rest in the trash for a day (trash_age), from where\n" +
			"cgq trash restore takes them back. More than one message needs a yes.",
		Example: "  cgq message drop --sender '~^bounce-' --subject 'out of office' --dry-run\n" +
			"  cgq message list --where 'size > bytes(\"20M\")' -o name | cgq message drop --ids-from - --yes",
	})
	cmd.Flags().StringVar(&text, "text", "", "a reason, for the log and the list of the trash")
	_ = cmd.RegisterFlagCompletionFunc("text", cobra.NoFileCompletions) // the flag is there
	return cmd
}

func newMessageRelease(a *app) *cobra.Command {
	var atOnce bool
	m := messageAct{
		d:    deed{past: "released", unit: "recipient", joint: "in", already: "not delayed"},
		call: control.MessageRelease,
		fill: func(_ *cobra.Command, sel control.Selection) (control.Act, error) {
			return control.Act{Selection: sel, AtOnce: atOnce}, nil
		},
	}
	cmd := m.command(a, &cobra.Command{
		Use:   "release ID... | SELECTION",
		Short: "Try messages now",
		Long: "Removes the delays of messages, and of the host queues that they are in. It counts\n" +
			"recipients. A message takes its host queue with it: others of the queue are tried, too.\n" +
			"What is held stays held. More than one message needs a yes.",
		Example: "  cgq message release 4711\n  cgq message release --state suspended --rcpt-domain example.com --yes",
	})
	atOnceFlag(cmd, &atOnce)
	return cmd
}

func newMessageReroute(a *app) *cobra.Command {
	m := messageAct{
		d:    deed{past: "rerouted", unit: "recipient", joint: "in", already: "on the right way"},
		call: control.MessageReroute,
		fill: func(_ *cobra.Command, sel control.Selection) (control.Act, error) {
			return control.Act{Selection: sel}, nil
		},
	}
	return m.command(a, &cobra.Command{
		Use:   "reroute ID... | SELECTION",
		Short: "Have the Router say anew where messages go",
		Long: "Runs the Router again for recipients that wait, after a change of its settings, and\n" +
			"shows from which host queue to which one they go. It counts recipients; a dry run\n" +
			"shows the same and moves none. More than one message needs a yes.",
		Example: "  cgq message reroute --queue old.example.com --dry-run\n  cgq message reroute 4711",
	})
}
