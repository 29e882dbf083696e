package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

func newSettingsEdit(a *app) *cobra.Command {
	var o changing
	cmd := &cobra.Command{
		Use:   "edit [SECTION]",
		Short: "Edit a file of settings with an editor",
		Long: "Opens a file of Settings/, such as queue, which it is without SECTION, or router.txt, in the\n" +
			"editor that $VISUAL or $EDITOR names (vi). When the editor ends, cgqd checks the file together\n" +
			"with all others, and applies it. If it cannot be used, the answer has file, line and key; on a\n" +
			"terminal one can edit again. What is not applied stays as a draft, and is named.\n\n" +
			"If somebody else has changed the file meanwhile, nothing is changed.",
		Example:           "  cgq settings edit smtp -m 'a new relay'\n  EDITOR=nano cgq settings edit router.txt",
		Args:              usageArgs(cobra.MaximumNArgs(1)),
		ValidArgsFunction: first(a.completeFiles),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !a.interactive && os.Getenv("VISUAL")+os.Getenv("EDITOR") == "" {
				return usagef(cmd, "nobody is there to use vi; $EDITOR names a program that edits a file")
			}
			name := "queue"
			if len(args) > 0 {
				name = args[0]
			}
			file, err := control.SettingsFile.Do(cmd.Context(), a.client(), control.SettingsFileName{Name: name})
			if err != nil {
				return err
			}
			return a.edit(cmd.Context(), o, file)
		},
	}
	o.flags(cmd)
	return cmd
}

// completeFiles completes the names of files of settings.
func (a *app) completeFiles(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	list, directive := complete(a, cmd, control.SettingsList, control.SettingsQuery{}, begun, func(r control.SettingRow) (string, string) {
		return r.File[:len(r.File)-len(filepath.Ext(r.File))], ""
	})
	for _, name := range []string{"filters", "router.txt", "rules"} { // which may have no keys
		if strings.HasPrefix(name, begun) && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list, directive
}

// edit has a person edit a file until it can be used, or he gives up.
func (a *app) edit(ctx context.Context, o changing, file control.SettingsText) error {
	dir, err := os.MkdirTemp("", "cgq-settings-")
	if err != nil {
		return err
	}
	draft := filepath.Join(dir, file.Name)
	if err := os.WriteFile(draft, []byte(file.Text), 0o600); err != nil {
		return err
	}
	for {
		if err := a.runEditor(ctx, draft); err != nil {
			return a.keep(err, draft)
		}
		text, err := os.ReadFile(draft)
		if err != nil {
			return err
		}
		if string(text) == file.Text {
			fmt.Fprintln(a.errOut, "nothing was changed")
			return os.RemoveAll(dir)
		}
		out, err := control.SettingsReplace.Do(ctx, a.client(), control.SettingsText{Name: file.Name, Text: string(text),
			Version: file.Version, Why: o.why, DryRun: o.dryRun})
		if err == nil {
			return errors.Join(a.printChanged(out, o.dryRun), os.RemoveAll(dir))
		}
		e, told := errors.AsType[*control.Error](err)
		if !told || e.Kind != control.KindInvalid || !a.interactive {
			return a.keep(err, draft)
		}
		fmt.Fprintln(a.errOut, "cgq: "+a.explain(err))
		if answer, err := a.ask(ctx, "Edit it again? [Y/n] "); err != nil || answer != "" && answer != "y" && answer != "yes" {
			return a.keep(errNotConfirmed, draft)
		}
	}
}

// keep says where a draft is that was not applied.
func (a *app) keep(err error, draft string) error {
	fmt.Fprintf(a.errOut, "the draft is kept: %s\n", safe(draft))
	if errors.Is(err, errNotConfirmed) {
		return errors.New("nothing was changed")
	}
	return err
}

// runEditor runs the editor, which is a command line of the shell, as for git and crontab.
func (a *app) runEditor(ctx context.Context, file string) error {
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", editor+` "$1"`, "cgq", file)
	cmd.Stdout, cmd.Stderr = a.out, a.errOut
	if in, ok := a.in.(*os.File); ok {
		cmd.Stdin = in
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("editor %s: %w", editor, err)
	}
	return nil
}
