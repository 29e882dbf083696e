package server

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"cgq/pkg/cli/manual"
)

// book is the reference of cgqd, whose commands are below root.
func book(root *cobra.Command) *manual.Book {
	return &manual.Book{Root: root, Section: 8, More: map[string]manual.More{
		"cgqd": {Alone: true, Chapters: []manual.Chapter{signals, statuses, files, environment},
			Also: []string{"cgq(1)", "cgqd-settings(5)"}},
		"cgqd-check":   {Also: []string{"cgqd-settings(5)"}},
		"cgqd-init":    {Also: []string{"cgqd-settings(5)"}},
		"cgqd-restore": {Also: []string{"cgq-queue-backup(1)", "cgq-hold-remove(1)"}},
	}}
}

var (
	signals = manual.Chapter{Heading: "Signals", Terms: []manual.Term{
		{Word: "SIGTERM, SIGINT", Means: "no new mail; transfers in progress finish, 30 s at most; then the Queue directory is the whole truth, and can be copied or moved"},
		{Word: "the same again", Means: "ends at once, which is safe"},
		{Word: "SIGHUP", Means: "settings are read again at once, whether or not they have changed"},
	}}
	statuses = manual.Chapter{Heading: "Exit status", Terms: []manual.Term{
		{Word: "0", Means: "a signal has ended it in good order"},
		{Word: "1", Means: "it could not start, or could not go on: standard error says why, and the log"},
		{Word: "2", Means: "used wrongly"},
	}}
	files = manual.Chapter{Heading: "Files", Text: "All are in the base directory.", Terms: []manual.Term{
		{Word: "Settings/", Means: "a TOML file a section, and router.txt; Settings/.history/ is what they were"},
		{Word: "Queue/", Means: "journal and message files; Queue/damaged/ is what could not be believed"},
		{Word: "Domains/DOMAIN/ACCOUNT/Maildir/", Means: "local mail"},
		{Word: "Programs/", Means: "the programs that mail can be given to"},
		{Word: "Submitted/", Means: "files of programs that become mail: whoever may write there may send to everywhere"},
		{Word: "submitted.list", Means: "the directories in which files may be taken just now: a start looks at them, too"},
		{Word: "SystemLogs/YYYY-MM-DD.log", Means: "the Server Log; beside it the logs EMails and Audit"},
		{Word: "control.sock", Means: "where cgq connects"},
		{Word: "submit.sock", Means: "where programs of this machine hand in mail"},
	}}
	environment = manual.Chapter{Heading: "Environment", Terms: []manual.Term{
		{Word: "CGQ_BASE", Means: "the base directory, where --base does not name one"},
		{Word: "NOTIFY_SOCKET", Means: "where systemd wants to hear that cgqd is ready, and that it stops (Type=notify)"},
	}}
)

// newGenDocs returns the command that writes the reference: settings, commands, manual.
func newGenDocs() *cobra.Command {
	return &cobra.Command{
		Use: "gen-docs DIR", Short: "Write the reference", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := book(cmd.Root())
			if err := b.WriteMarkdown(filepath.Join(args[0], "commands")); err != nil {
				return err
			}
			if err := b.WriteMan(filepath.Join(args[0], "man")); err != nil {
				return err
			}
			for name, text := range map[string]string{"settings.md": reference(), "man/cgqd-settings.5": settingsPage()} {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(text), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// newGenCompletions returns the command that writes what shells complete from.
func newGenCompletions() *cobra.Command {
	return &cobra.Command{
		Use: "gen-completions DIR", Short: "Write completion scripts", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for name, write := range map[string]func(file string) error{
				"cgqd.bash": func(file string) error { return root.GenBashCompletionFileV2(file, true) },
				"cgqd.zsh":  root.GenZshCompletionFile,
				"cgqd.fish": func(file string) error { return root.GenFishCompletionFile(file, true) },
				"cgqd.ps1":  root.GenPowerShellCompletionFileWithDesc,
			} {
				if err := write(filepath.Join(args[0], name)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
