// Package cli is cgq: the commands of the queue administrator, on top of the
// control client alone. A command parses, makes one call and prints; what it may
// do and what is meant is decided in the daemon.
//
// The rules of its face: data goes to stdout, everything else to stderr. What
// strangers wrote reaches neither raw. Not a terminal: no colour, nothing cut off,
// no question. A list that was cut off never looks whole. The exit status says
// what kind of failure it was (see [exit]); machine forms only gain fields.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cgq/pkg/cli/process"
	"cgq/pkg/control"
)

// defaultBase is the base directory when neither --base nor $CGQ_BASE names one.
const defaultBase = "/var/lib/cgq"

// An app is what every command needs. Tests build one over buffers.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	width       int                        // columns of the terminal that out is; 0: it is none
	colour      bool                       // out may be coloured
	redraw      bool                       // out can be drawn anew, from its first line on
	bars        bool                       // errOut is a terminal, for what moves
	interactive bool                       // somebody can answer a question
	resize      func() (width, height int) // of the terminal that out is; nil: it is as wide as it was
	now         func() time.Time
	every       time.Duration // how often a waiting command looks

	// The global flags.
	base, format string
	columns      []string
	noHeaders    bool
	failEmpty    bool
	jq           string

	line string // the command line, for the one who watches it
}

// Main runs cgq with the process's arguments and returns its exit status.
func Main() int {
	debug.SetGCPercent(400) // it lives for a moment, and lists are streamed
	ctx, stop := process.UntilSignal(context.Background())
	defer stop()
	width, dumb := terminal(os.Stdout), os.Getenv("TERM") == "dumb"
	a := &app{
		in: os.Stdin, out: os.Stdout, errOut: os.Stderr, width: width, now: time.Now, every: time.Second / 4,
		colour:      width > 0 && os.Getenv("NO_COLOR") == "" && !dumb,
		redraw:      width > 0 && !dumb,
		bars:        terminal(os.Stderr) > 0 && !dumb,
		resize:      func() (int, int) { return terminalSize(os.Stdout) },
		interactive: terminal(os.Stdin) > 0 && terminal(os.Stderr) > 0,
		base:        os.Getenv("CGQ_BASE"),
	}
	if name, ok := faceOf(os.Args[0]); ok {
		return a.sendmail(ctx, name, os.Args[1:])
	}
	return a.run(ctx, os.Args[1:])
}

// terminal returns the columns of the terminal that f is, or 0.
func terminal(f *os.File) int {
	width, _ := terminalSize(f)
	return width
}

// terminalSize returns the columns and lines of the terminal that f is, or 0.
func terminalSize(f *os.File) (width, height int) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	switch {
	case err != nil:
		return 0, 0
	case ws.Col == 0 || ws.Row == 0:
		return 80, 24 // a terminal that does not know, as on a serial line
	}
	return int(ws.Col), int(ws.Row)
}

// run executes one command line and returns its exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := newRoot(a)
	root.SetArgs(args)
	a.line = "cgq " + strings.Join(args, " ")
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	switch cmd.Name() {
	case checkName:
		return a.unknown(err)
	case submitName:
		return a.submitted("cgq "+submitName, err)
	}
	if text := a.explain(err); text != "" {
		fmt.Fprintln(a.errOut, "cgq: "+text)
	}
	return exit(err, a.failEmpty)
}

func newRoot(a *app) *cobra.Command {
	root := newGroup("cgq", "Administer the mail queue of cgqd",
		"cgq shows what waits in the Queue of a running cgqd, and why, and acts on it.\n\n"+
			"Exit status: 0 done, 1 failed, 2 usage, 3 nothing matched (with --fail-empty),\n"+
			"4 no right, 5 partly done, 6 not confirmed, 7 no daemon; cgq check and cgq submit have their own.")
	root.Example = "  cgq queue list                         # what waits, and its last error\n" +
		"  cgq queue explain example.com          # why that waits, and what comes next\n" +
		"  cgq queue release example.com --wait   # try it now, and see how that ends\n" +
		"  cgq message trace 4711                 # what became of a message\n" +
		"  cgq top                                # all of it, live, with keys to act"
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages |", ".FlagUsagesWrapped 80 |"))
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(formats(), a.format) {
			return usagef(cmd, "no output form %q; there are %s", a.format, strings.Join(formats(), ", "))
		}
		return a.filtered(cmd)
	}
	root.Version = process.Version() + ", " + runtime.Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.Flags().Bool("version", false, "print the version of this program") // without a short form
	f := root.PersistentFlags()
	base := a.base
	if base == "" {
		base = defaultBase
	}
	f.StringVar(&a.base, "base", base, "base `directory` of the daemon; $CGQ_BASE names another default")
	f.StringVarP(&a.format, "output", "o", "table", "`form` of the output: "+strings.Join(formats(), ", "))
	f.BoolVar(&a.noHeaders, "no-headers", false, "leave out the line of column names")
	f.StringSliceVar(&a.columns, "columns", nil, "show these `fields`, in this order, by their names in JSON")
	f.StringVar(&a.jq, "jq", "", "what this `expression` of jq makes of the JSON; with -o jsonl of each row")
	f.BoolVar(&a.failEmpty, "fail-empty", false, "exit with status 3 when nothing matched")
	f.Lookup("base").DefValue = defaultBase                            // the help is the same for everybody
	_ = root.RegisterFlagCompletionFunc("output", fixed(formats()...)) // the flags are there
	_ = root.RegisterFlagCompletionFunc("jq", cobra.NoFileCompletions)
	_ = root.RegisterFlagCompletionFunc("columns", completeColumns)
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"The queue", []*cobra.Command{newQueue(a), newMessage(a), newSender(a), newHold(a), newTrash(a), newTop(a)}},
		{"What happened, and how it is", []*cobra.Command{newLog(a), newStat(a), newCheck(a)}},
		{"What it is told to do", []*cobra.Command{newSettings(a), newEnqueuer(a), newDequeuer(a), newRules(a), newRoute(a), newAccount(a)}},
		{"More", []*cobra.Command{newSubmit(a), newWhoami(a), newVersion(a), newCompletion(a)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	root.AddCommand(newGenDocs(), newGenMan())
	root.SetHelpCommandGroupID("More")
	for _, name := range sendmailFaces {
		root.AddCommand(newSendmail(a, name))
	}
	a.converted(root)
	a.watchable(root) // around the other: each turn is converted for itself
	completesRest(root)
	exemplified(root)
	return root
}

// exemplified gives the commands that only have others below them an example of each.
func exemplified(root *cobra.Command) {
	for _, group := range root.Commands() {
		if group.Example != "" || !group.HasSubCommands() {
			continue
		}
		var lines []string
		for _, cmd := range group.Commands() {
			line, _, _ := strings.Cut(cmd.Example, "\n")
			lines = append(lines, line)
		}
		group.Example = strings.Join(lines, "\n")
	}
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Example = "  cgq help queue release"
		}
	}
}

// newGroup returns a command that only has others below it.
func newGroup(name, short, long string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Long: long, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), cmd.UsageString())
				return usagef(cmd, "a command is missing")
			}
			if near := commandLike(cmd, args[0]); near != "" {
				return usagef(cmd, "no command %q; did you mean %s?", args[0], near)
			}
			return usagef(cmd, "no command %q", args[0])
		}}
}

// client returns a client of the daemon that --base names.
func (a *app) client() *control.Client { return control.Dial(filepath.Join(a.base, "control.sock")) }
