package cli

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// parseQueue returns the selection of a command that takes MODULE QUEUE, or flags, or
// both.
func (s *selection) parseQueue(a *app, cmd *cobra.Command, args []string) (control.Selection, error) {
	sel, err := s.parse(a, cmd, nil)
	switch {
	case err != nil || len(args) == 0:
		return sel, err
	case len(args) == 1 || args[0] == "" || args[1] == "":
		return sel, usagef(cmd, "a host queue has a module and a name, as in SMTP example.com")
	case len(sel.Module)+len(sel.Queue) > 0:
		return sel, usagef(cmd, "the queue has a name already; leave out --module and --queue, or use flags alone")
	}
	sel.Module, sel.Queue = []string{strings.ToUpper(args[0])}, []string{literal(args[1])}
	return sel, nil
}

// ofQueue makes an act on MODULE QUEUE alone one that fails when there is no such queue.
func (d deed) ofQueue(cmd *cobra.Command, s *selection, args []string) deed {
	if len(args) == 2 && !s.narrows(cmd) {
		d.nothing = control.Errorf(control.KindNoSuchQueue, "see cgq queue list", "no queue %s",
			queueName(strings.ToUpper(args[0]), args[1]))
	}
	return d
}

// A releasing is the flags of a release of host queues.
type releasing struct {
	allDelayed, atOnce bool
	wait               time.Duration
}

func (r *releasing) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.allDelayed, "all-delayed", false, "everything that a delayed queue keeps")
	atOnceFlag(cmd, &r.atOnce)
	cmd.Flags().Var((*length)(&r.wait), "wait", "wait up to this `time`, and report what became of each")
	cmd.Flags().Lookup("wait").NoOptDefVal = "60s"
}

func atOnceFlag(cmd *cobra.Command, atOnce *bool) {
	cmd.Flags().BoolVar(atOnce, "at-once", false, "without the pace of release_burst and release_rate")
}

// parse returns the selection of a release.
func (r *releasing) parse(a *app, cmd *cobra.Command, s *selection, o acting, args []string,
) (control.Selection, error) {
	if r.allDelayed {
		if len(args) > 0 || len(s.states) > 0 {
			return control.Selection{}, usagef(cmd, "name one queue, or use flags; --all-delayed has its state")
		}
		s.states = []string{string(control.Delayed)}
	}
	sel, err := s.parseQueue(a, cmd, args)
	switch {
	case err != nil:
		return sel, err
	case r.wait > 0 && o.dryRun:
		return sel, usagef(cmd, "a dry run has nothing to wait for")
	case sel.Empty() && !s.none:
		return sel, usagef(cmd, "name a queue, select with flags, or say --all-delayed or --all")
	}
	return sel, nil
}

func newQueueRelease(a *app) *cobra.Command {
	var s selection
	var o acting
	var r releasing
	cmd := &cobra.Command{
		Use:   "release [MODULE] QUEUE | --all-delayed | SELECTION",
		Short: "Let a module work delayed queues now",
		Long: "Release Now: removes the delay of host queues, and of the messages in them that match,\n" +
			"so that the module works them at once. It counts host queues. One that is named goes\n" +
			"without a question; what flags select, when it is more than one message, needs a yes.\n" +
			"Of each queue release_burst messages go at once, and the others at release_rate.\n\n" +
			"With --wait it reports what became of each recipient: whether he left the queue and,\n" +
			"from the log, how (of the first 100 messages), or what keeps him. Status 0 is that all\n" +
			"have left; 5 that some have; 1 that none has. An interrupt ends the waiting, and not\n" +
			"the release. It can watch 10,000 messages, and needs the right monitor, too.",
		Example: "  cgq queue release SMTP example.com --wait=5m\n  cgq queue release --all-delayed --yes\n" +
			"  cgq queue release --error '~greylist|try again' --age '>30m' --dry-run",
		Args:              usageArgs(cobra.MaximumNArgs(2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := a.hostQueue(cmd, args)
			if err != nil {
				return err
			}
			sel, err := r.parse(a, cmd, &s, o, args)
			if err != nil {
				return err
			}
			d := deed{past: "released", unit: "queue", already: "not delayed", freely: len(args) == 2, about: sel}.ofQueue(cmd, &s, args)
			call := func(dryRun bool) (control.Outcome, error) {
				if s.none {
					return control.Outcome{}, nil
				}
				out, err := control.QueueRelease.Do(cmd.Context(), a.client(),
					control.Act{Selection: sel, AtOnce: r.atOnce, DryRun: dryRun})
				if e, ok := errors.AsType[*control.Error](err); ok && e.Kind == control.KindNoSuchQueue {
					return control.Outcome{}, nil // nothing matched: the deed knows what that means
				}
				return out, err
			}
			if r.wait > 0 && !s.none {
				return a.releaseAndWait(cmd.Context(), o, d, sel, r.wait, call)
			}
			return a.do(cmd.Context(), o, d, call)
		},
	}
	s.acting(a, cmd)
	o.flags(cmd)
	r.flags(cmd)
	return cmd
}

func newQueueReject(a *app) *cobra.Command {
	var s selection
	var o acting
	var r rejecting
	cmd := &cobra.Command{
		Use:   "reject [MODULE] QUEUE | SELECTION --text TEXT",
		Short: "Reject everything in a host queue",
		Long: "Reject Host Queue: fails all recipients in the queue, or those that match, that are\n" +
			"not being processed. It counts recipients. The senders get a report with the text,\n" +
			"unless --no-dsn suppresses it: then what is rejected rests in the trash for a day.\n" +
			"More than one message needs a yes.",
		Example: "  cgq queue reject SMTP example.com --text 'closed for good'\n" +
			"  cgq queue reject SMTP example.com --sender '<>' --text 'not wanted' --no-dsn --dry-run",
		Args:              usageArgs(cobra.MaximumNArgs(2)),
		ValidArgsFunction: a.completeQueueName,
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := a.hostQueue(cmd, args)
			if err != nil {
				return err
			}
			sel, err := s.parseQueue(a, cmd, args)
			if err != nil {
				return err
			}
			if sel.Empty() && !s.none {
				return usagef(cmd, "name a queue, select with flags, or say --all")
			}
			act, err := r.act(cmd, sel)
			if err != nil {
				return err
			}
			return a.doAct(cmd, &s, o, rejects().ofQueue(cmd, &s, args), control.QueueReject, act)
		},
	}
	s.acting(a, cmd)
	o.flags(cmd)
	r.flags(cmd)
	return cmd
}

// doAct runs an act on a selection, unless that can have nothing.
func (a *app) doAct(cmd *cobra.Command, s *selection, o acting, d deed, call control.Call[control.Act, control.Outcome],
	act control.Act,
) error {
	d.about = act.Selection
	return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
		if s.none {
			return control.Outcome{}, nil
		}
		act.DryRun = dryRun
		return call.Do(cmd.Context(), a.client(), act)
	})
}
