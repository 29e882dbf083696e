package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cgq/pkg/cli/screen"
)

// watched are the commands that list something which changes.
func watched() []string {
	return []string{"queue list", "queue show", "queue explain", "queue shape", "message list", "message show",
		"message trace", "hold list", "trash list", "account list", "rules list", "settings list", "settings history",
		"stat"}
}

// watchable gives the commands that list something the flag --watch.
func (a *app) watchable(root *cobra.Command) {
	for _, path := range watched() {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			panic(err) // the test of all commands sees it
		}
		var every time.Duration
		cmd.Flags().Var((*length)(&every), "watch", "print it again each such `time`, till an interrupt; 2s without one")
		cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
		run := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if every == 0 {
				return run(cmd, args)
			}
			if f := cmd.Flags().Lookup("ids-from"); f != nil && f.Value.(*once).String() == "" && *f.Value.(*once).value == "-" {
				return usagef(cmd, "standard input can be read once; give --ids-from a file to watch")
			}
			return a.watch(cmd, every, func() error { return run(cmd, args) })
		}
	}
}

// watch runs a command again and again. Once it has worked an error is shown, and it
// goes on: the daemon may come back.
func (a *app) watch(cmd *cobra.Command, every time.Duration, run func() error) error {
	for n := 0; cmd.Context().Err() == nil; n++ { // an interrupt is the way out
		err := a.turn(every, n, run)
		if err != nil && n == 0 && !errors.Is(err, errEmpty) && cmd.Context().Err() == nil {
			return err
		}
		select {
		case <-cmd.Context().Done():
		case <-time.After(every):
		}
	}
	return nil
}

// turn runs a command once more: on a terminal in the place of what it printed before.
func (a *app) turn(every time.Duration, n int, run func() error) error {
	if !a.redraw {
		if n > 0 {
			fmt.Fprint(a.out, a.separator())
		}
		err := run()
		if n > 0 && err != nil && !errors.Is(err, errEmpty) {
			fmt.Fprintln(a.errOut, "cgq: "+a.explain(err))
		}
		return err
	}
	height := 24
	if a.resize != nil {
		a.width, height = a.resize()
	}
	out, errOut := a.out, a.errOut
	var b bytes.Buffer
	a.out, a.errOut = &b, &b
	err := run()
	a.out, a.errOut = out, errOut
	if err != nil && n == 0 && !errors.Is(err, errEmpty) {
		_, _ = b.WriteTo(out)
		return err
	}
	if text := a.explain(err); text != "" && !errors.Is(err, errEmpty) {
		fmt.Fprintln(&b, "cgq: "+text)
	}
	_, writes := io.WriteString(a.out, a.frame(every, b.String(), n, height))
	return errors.Join(err, writes)
}

// separator stands between two turns where nothing is redrawn. Values of JSON need none.
func (a *app) separator() string {
	switch {
	case a.human():
		return "--- " + a.now().Format(time.DateTime) + "\n"
	case a.format == formYAML:
		return "---\n"
	case a.format == formCSV || a.format == formName:
		return "\n"
	}
	return ""
}

// frame is a turn as it is drawn over the one before: what does not fit is counted.
func (a *app) frame(every time.Duration, text string, n, height int) string {
	const (
		clear    = "\x1b[2J"
		home     = "\x1b[H"
		endLine  = "\x1b[K\n"
		endFrame = "\x1b[J"
	)
	now := a.now().Format(time.DateTime)
	lines := []string{screen.Fit(fmt.Sprintf("every %s: %s", every, safe(a.line)), a.width-len(now)-1) + " " + now, ""}
	lines = append(lines, strings.Split(strings.TrimRight(text, "\n"), "\n")...)
	if room := height - 1; len(lines) > room && room > 3 {
		lines = append(lines[:room-1], fmt.Sprintf("… and %d lines more", len(lines)-room+1))
	}
	begin := home
	if n == 0 {
		begin = clear + home
	}
	return begin + strings.Join(lines, endLine) + endLine + endFrame
}
