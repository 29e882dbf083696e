package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newWhoami(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Who you are to the daemon, and what you may do",
		Long: "Prints the user that the operating system says you are, your rights, and what gives them\n" +
			"to you: being root or the user that cgqd runs as, or a grant in Settings/access.toml.\n" +
			"Everybody who reaches the socket may ask.",
		Example: "  cgq whoami\n  cgq whoami -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := control.Whoami.Do(cmd.Context(), a.client(), control.Nothing{})
			if err != nil {
				return err
			}
			return a.printIdentity(id)
		},
	}
}

func (a *app) printIdentity(id control.Identity) error {
	if printed, err := printThing(a, id, id.User); printed {
		return err
	}
	lines := []string{
		fmt.Sprintf("User:   %s (uid %d, gid %d)", id.User, id.UID, id.GID),
		"Rights: " + listed(id.Rights),
	}
	head := "From:   "
	for _, g := range id.Grants {
		lines = append(lines, head+g.By+": "+listed(g.Rights))
		head = "        "
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.out, safe(line)); err != nil {
			return err
		}
	}
	return nil
}

// listed is rights as people read them.
func listed(rights []control.Right) string {
	if len(rights) == 0 {
		return "none"
	}
	names := make([]string, len(rights))
	for i, r := range rights {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
