package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// asLogged is a host queue as the logs write it: SMTP(example.com).
var asLogged = regexp.MustCompile(`^([A-Za-z]+)\((.+)\)$`)

var plainASCII = regexp.MustCompile(`^[ -~]*$`)

// hostQueue makes MODULE QUEUE of the arguments of a command: of SMTP(example.com), as the
// logs and answers write it, and of a name alone that only one module has a queue of.
func (a *app) hostQueue(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) != 1 {
		return args, nil
	}
	if m := asLogged.FindStringSubmatch(args[0]); m != nil {
		return m[1:], nil
	}
	if args[0] == "" {
		return nil, usagef(cmd, "the name of the host queue is empty")
	}
	var found []control.QueueName
	for q, err := range control.QueueList.Do(cmd.Context(), a.client(), control.Selection{Queue: []string{literal(args[0])}}) {
		if err != nil {
			return nil, err
		}
		if strings.EqualFold(q.Queue, args[0]) || !plainASCII.MatchString(args[0]) { // that has another name in the DNS
			found = append(found, control.QueueName{Module: q.Module, Queue: q.Queue})
		}
	}
	switch {
	case len(found) == 1:
		return []string{found[0].Module, found[0].Queue}, nil
	case len(found) > 1:
		return nil, usagef(cmd, "there are %s and %s; say which, as in %s %s", queueName(found[0].Module, found[0].Queue),
			queueName(found[1].Module, found[1].Queue), found[0].Module, found[0].Queue)
	case !strings.ContainsAny(args[0], ".@"):
		return nil, usagef(cmd, "a host queue has a module and a name, as in SMTP example.com")
	}
	return nil, control.Errorf(control.KindNoSuchQueue, "cgq queue list shows all that hold messages", "no queue %s", args[0])
}
