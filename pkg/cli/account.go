package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

func newAccount(a *app) *cobra.Command {
	cmd := newGroup("account", "Local Accounts: create, list, delete",
		"Mail to an Account of a local Domain is stored in its Maildir. Domains are made local\n"+
			"by cgqd init --domain, or in Settings.")
	cmd.AddCommand(newAccountCreate(a), newAccountList(a), newAccountDelete(a))
	return cmd
}

// accountAddress reads the address of an Account, which has a domain.
func accountAddress(cmd *cobra.Command, arg string) (string, error) {
	addr, err := mail.ParseAddress(arg)
	if err != nil {
		return "", usagef(cmd, "%v", err)
	}
	if addr.Domain == "" {
		return "", usagef(cmd, "%q has no domain; an Account is ann@example.org", arg)
	}
	return addr.String(), nil
}

func newAccountCreate(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "create ADDRESS",
		Short:   "Create an Account",
		Long:    "Creates an Account in a local Domain, with an empty Maildir.",
		Example: "  cgq account create ann@example.org",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := accountAddress(cmd, args[0])
			if err != nil {
				return err
			}
			if err := hasColumns[control.Account](a); err != nil {
				return err
			}
			made, err := control.AccountCreate.Do(cmd.Context(), a.client(), control.Account{Address: addr})
			if err != nil {
				return err
			}
			if printed, err := printThing(a, made, made.Address); printed {
				return err
			}
			_, err = fmt.Fprintln(a.out, "created", safe(made.Address))
			return err
		},
	}
}

func accountTable() table[control.Account] {
	return table[control.Account]{
		columns: []column{{field: "address", head: "ADDRESS", show: showText}},
		name:    func(acc control.Account) string { return acc.Address },
		none:    "no accounts",
	}
}

func newAccountList(a *app) *cobra.Command {
	var q control.AccountQuery
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "One row an Account",
		Long:    "Lists the Accounts of all local Domains, or of some.",
		Example: "  cgq account list --domain example.org",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printRows(a, accountTable(), control.AccountList.Do(cmd.Context(), a.client(), q), false)
		},
	}
	cmd.Flags().StringSliceVar(&q.Domain, "domain", nil, "of this `domain`")
	return cmd
}

func newAccountDelete(a *app) *cobra.Command {
	var o acting
	cmd := &cobra.Command{
		Use:   "delete ADDRESS",
		Short: "Delete an Account with its mail",
		Long: "Deletes an Account and the mail stored in it. More than one stored message needs a\n" +
			"yes. There is no way back.",
		Example:           "  cgq account delete ann@example.org --dry-run",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeAccounts,
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := accountAddress(cmd, args[0])
			if err != nil {
				return err
			}
			d := deed{past: "deleted", unit: "account", joint: "with",
				nothing: control.Errorf(control.KindNoSuchAccount, "see cgq account list", "no account %s", addr)}
			return a.do(cmd.Context(), o, d, func(dryRun bool) (control.Outcome, error) {
				return control.AccountDelete.Do(cmd.Context(), a.client(), control.AccountAct{Address: addr, DryRun: dryRun})
			})
		},
	}
	o.flags(cmd)
	return cmd
}
