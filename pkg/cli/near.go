package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cgq/pkg/near"
)

// habits are what the words of other mail servers, and of other commands, are here.
func habits() [][2]string {
	return [][2]string{
		{"list ls show qlist queues messages", "queue list or cgq message list"},
		{"flush retry schedule kick deliver runq release", "queue release --all-delayed"},
		{"delete del remove rm discard drop", "message drop"},
		{"bounce fail cancel return reject expire", "message reject --text WHY"},
		{"hold freeze suspend pause", "hold add --reason WHY"},
		{"thaw unfreeze resume unhold unsuspend", "hold remove"},
		{"requeue rebind transport reroute", "message reroute"},
		{"cat view postcat dump inspect body headers content", "message content"},
		{"grep find history trace", "message trace"},
		{"qshape summary count shape", "queue shape"},
		{"why explain", "queue explain"},
		{"undo undelete restore", "trash restore"},
		{"config conf set get postconf reload", "settings"},
		{"tail logs", "log tail"},
		{"status health ping", "check"},
		{"monitor watch", "top"},
		{"send inject", "submit"},
	}
}

// commandLike is what was most likely meant by a command that there is not, or "".
func commandLike(group *cobra.Command, typed string) string {
	for _, h := range habits() {
		if slices.Contains(strings.Fields(h[0]), strings.ToLower(typed)) {
			return "cgq " + h[1]
		}
	}
	return strings.Join(group.SuggestionsFor(typed), " or ")
}

// flagError is the refusal of a flag, with the one that was most likely meant.
func flagError(cmd *cobra.Command, err error) error {
	unknown, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return usagef(cmd, "%v", err)
	}
	best, least := "", 3 // typing errors
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		d := near.Distance(unknown, f.Name)
		if len(unknown) > 2 && strings.HasPrefix(f.Name, unknown) {
			d = 1
		}
		if d < least && !f.Hidden {
			best, least = f.Name, d
		}
	})
	if best == "" {
		return usagef(cmd, "no flag --%s", unknown)
	}
	return usagef(cmd, "no flag --%s; did you mean --%s?", unknown, best)
}

// argsError is the refusal of the arguments of a command, in words of people.
func argsError(cmd *cobra.Command, args []string) string {
	use := strings.TrimSuffix(cmd.UseLine(), " [flags]")
	switch {
	case len(args) == 0:
		return "something is missing: " + use
	case strings.Contains(use, " [SELECTION]"):
		return fmt.Sprintf("%q is no flag: %s; did you mean %s?", args[0], use, selected(args[0]))
	}
	return fmt.Sprintf("too much, or too little, with %q: %s", args[len(args)-1], use)
}

// selected is how a selection says what was written without a flag.
func selected(typed string) string {
	if _, err := strconv.ParseUint(typed, 10, 64); err == nil {
		return "cgq message show " + typed
	}
	if strings.Contains(typed, "@") {
		return "--rcpt " + word(typed) + " or --sender " + word(typed)
	}
	return "--queue " + word(typed)
}
