package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

// A selection is the flags that say which queues or messages are meant. Different
// flags narrow, a repeated one widens.
type selection struct {
	modules, queues, states []string
	all                     bool
}

func (s *selection) flags(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&s.modules, "module", nil, "of this `module`, such as SMTP")
	f.StringSliceVar(&s.queues, "queue", nil, "of this host `queue`, such as example.com")
	f.StringSliceVar(&s.states, "state", nil, "in this `state`: active, processing, ready, suspended, delayed, held")
	_ = cmd.RegisterFlagCompletionFunc("module", a.completeModules) // the flags are there
	_ = cmd.RegisterFlagCompletionFunc("queue", a.completeQueues)
	_ = cmd.RegisterFlagCompletionFunc("state", fixed(states()...))
}

func states() []string {
	var list []string
	for _, s := range []control.State{control.Active, control.Processing, control.Ready, control.Suspended,
		control.Delayed, control.Held} {
		list = append(list, string(s))
	}
	return list
}

// parse returns the selection with the ids that are arguments.
func (s *selection) parse(cmd *cobra.Command, ids []string) (control.Selection, error) {
	sel := control.Selection{Module: s.modules, Queue: s.queues, All: s.all}
	for _, state := range s.states {
		if !slices.Contains(states(), state) {
			return sel, usagef(cmd, "no state %q; there are %s", state, strings.Join(states(), ", "))
		}
		sel.State = append(sel.State, control.State(state))
	}
	for _, arg := range ids {
		id, err := parseID(cmd, arg)
		if err != nil {
			return sel, err
		}
		sel.IDs = append(sel.IDs, id)
	}
	return sel, nil
}

func parseID(cmd *cobra.Command, arg string) (mail.ID, error) {
	id, ok := mail.ParseID(arg)
	if !ok {
		return 0, usagef(cmd, "%q is not the id of a message", arg)
	}
	return id, nil
}

// queueName is what the chapter calls a host queue: SMTP(example.com).
func queueName(module, queue string) string { return fmt.Sprintf("%s(%s)", module, queue) }
