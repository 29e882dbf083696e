package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"cgq/pkg/cli/process"
	"cgq/pkg/disk"
	"cgq/pkg/history"
	"cgq/pkg/settings"
)

// Main runs cgqd with the process's arguments and returns its exit status: 0 done,
// 1 failed, 2 used wrongly.
func Main() int {
	unix.Umask(0o077)
	cmd := newCommand(os.Stdout, os.Stderr)
	err := cmd.ExecuteContext(context.Background())
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "cgqd: %v; cgqd --help tells how\n", err)
		return 2
	}
	fmt.Fprintln(os.Stderr, "cgqd:", err)
	return 1
}

// A usageError is a command line that cannot be understood.
type usageError struct{ error }

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is no command", args[0])}
	}
	return nil
}

func newCommand(out, errOut io.Writer) *cobra.Command {
	const standard = "/var/lib/cgq"
	var profile string
	base := cmp.Or(os.Getenv("CGQ_BASE"), standard)
	root := &cobra.Command{
		Use:   "cgqd",
		Short: "The mail queue daemon",
		Long: "cgqd transfers mail: it takes messages in, keeps them in its Queue, and delivers them.\n" +
			"It runs in the foreground. SIGTERM finishes transfers in progress and stops, a second one kills;\n" +
			"SIGHUP rereads the settings, which it does by itself when they are edited. The queue is\n" +
			"administered with cgq.",
		Example:      "  cgqd init --base /var/lib/cgq --domain example.com\n  cgqd --base /var/lib/cgq",
		Args:         noArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop, err := startProfile(profile)
			if err != nil {
				return err
			}
			defer stop()
			return run(cmd.Context(), base, errOut)
		},
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.Version = process.Version() + ", " + runtime.Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.Flags().Bool("version", false, "print the version of this program") // without a short form
	root.PersistentFlags().StringVar(&base, "base", base, "base `directory`; $CGQ_BASE names another default")
	root.PersistentFlags().Lookup("base").DefValue = standard // the help is the same for everybody
	_ = root.MarkPersistentFlagDirname("base")                // it is there
	root.Flags().StringVar(&profile, "cpu-profile", "", "write a CPU profile for go tool pprof to this `file`")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newInit(&base, out), newCheck(&base, out), newFsck(&base, out), newRestore(&base, out),
		newOpenAPI(out), newGenDocs(), newGenCompletions())
	for _, cmd := range root.Commands() {
		if cmd.Name() != "restore" { // that alone takes a file
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
	return root
}

// startProfile begins a CPU profile, if a file is named, and returns what ends it.
func startProfile(file string) (stop func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

func newCheck(base *string, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Validate all settings and change nothing",
		Long: "check reads all files in Settings/ as a start does, and says of each problem file, line and key.\n" +
			"A cgqd that runs is not asked, and goes on with the settings that it has.\n\n" +
			"Exit status: 0 all in order, 1 something is wrong, 2 usage.",
		Example: "  cgqd check --base /var/lib/cgq",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			fsys, err := openBase(*base)
			if err != nil {
				return err
			}
			defer fsys.Close()
			files, err := settings.ReadFiles(fsys, settingsDir)
			if err == nil {
				_, err = loadFiles(files)
			}
			var problems settings.Problems
			if errors.As(err, &problems) {
				fmt.Fprintln(out, shown(err, files))
				if len(problems) == 1 {
					return errors.New("1 problem in the settings")
				}
				return fmt.Errorf("%d problems in the settings", len(problems))
			}
			if err == nil {
				fmt.Fprintln(out, "settings are in order")
			}
			return err
		},
	}
}

func newInit(base *string, out io.Writer) *cobra.Command {
	var domain, listen, relay string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a base directory with commented settings",
		Long: "init writes Settings/ with defaults, each explained, and makes the Account postmaster.\n" +
			"It refuses a directory that has settings already. Without --smtp mail is taken from this\n" +
			"machine alone, at 127.0.0.1:2525.\n\n" +
			"Exit status: 0 done, 1 failed, 2 usage.",
		Example: "  cgqd init --base ./var --domain example.com\n" +
			"  cgqd init --base /var/lib/cgq --domain example.com --smtp 0.0.0.0:25",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return initialize(*base, out, func(c *config) {
				if domain != "" {
					c.General.MainDomain, c.Local.Domains = domain, []string{domain}
				}
				if listen != "" {
					c.SMTP.Receive.Listen = []string{listen}
				}
				c.SMTP.Send.Relay = relay
			})
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "the main `domain`; its Accounts are here (default: the name of this host)")
	cmd.Flags().StringVar(&listen, "smtp", "", "the `address` to take mail at (default 127.0.0.1:2525)")
	cmd.Flags().StringVar(&relay, "relay", "", "a `host`, or host:port, that takes all mail that leaves (default: MX of each domain)")
	return cmd
}

// openBase opens the base directory.
func openBase(base string) (*disk.OS, error) {
	fsys, err := disk.OpenOS(base)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: cgqd init --base %s makes it", base, base)
	}
	return fsys, err
}

// run is the daemon, from the lock to the end.
func run(ctx context.Context, base string, errOut io.Writer) error {
	base, err := filepath.Abs(base)
	if err != nil {
		return err
	}
	fsys, err := openBase(base)
	if err != nil {
		return err
	}
	defer fsys.Close()
	if err := recovered(base, history.New(fsys, settingsDir)); err != nil {
		return err
	}
	c, err := load(fsys)
	if c == nil {
		return fmt.Errorf("settings:\n%w", err)
	}
	as, err := lookUp(c.General.User)
	if err == nil {
		err = as.own(base)
	}
	if err != nil {
		return err
	}
	release, err := lock(base, as)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := process.UntilSignal(ctx)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	open, err := openDoors(c)
	if err != nil {
		return err
	}
	if err := as.become(); err != nil {
		return err
	}
	s, err := build(ctx, base, fsys, c, open)
	if err != nil {
		return err
	}
	return s.serve(ctx, hangup, errOut)
}
