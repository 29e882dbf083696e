package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cgq/pkg/control"
)

// The exit statuses, which scripts rely on. Those of cgq check are others.
const (
	exitDone = iota
	exitFailed
	exitUsage        // the command line cannot be understood
	exitEmpty        // nothing matched, with --fail-empty
	exitNoRight      // the caller may not
	exitPartly       // something was left alone, or not all is known yet
	exitNotConfirmed // more than one message, and nobody said yes
	exitNoDaemon
)

var (
	errEmpty        = errors.New("nothing matches")
	errPartly       = errors.New("partly done") // the counts are on stdout
	errNotConfirmed = errors.New("not confirmed")
	errRefused      = errors.New("refused") // why is on stdout
)

// A usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usagef returns a usageError that says where help is.
func usagef(cmd *cobra.Command, format string, args ...any) error {
	text, see := fmt.Sprintf(format, args...), "; see "
	if strings.HasSuffix(text, "?") {
		see = " See "
	}
	return &usageError{text + see + cmd.CommandPath() + " --help"}
}

// args makes the refusals of an argument check usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef(cmd, "%s", argsError(cmd, args))
		}
		return nil
	}
}

// missing reports whether err says that what was named does not exist.
func missing(err error) bool {
	e, ok := errors.AsType[*control.Error](err)
	if !ok {
		return errors.Is(err, errEmpty)
	}
	switch e.Kind {
	case control.KindNoSuchQueue, control.KindNoSuchMessage, control.KindNoSuchAccount,
		control.KindNoSuchDomain, control.KindNoSuchElement, control.KindNoSuchHold, control.KindNoSuchBatch,
		control.KindNoSuchRule, control.KindNoSuchTag, control.KindNoSuchKey, control.KindNoSuchChange:
		return true
	}
	return false
}

// gone reports whether err says that a message has left the queue.
func gone(err error) bool {
	e, ok := errors.AsType[*control.Error](err)
	return ok && e.Kind == control.KindNoSuchMessage
}

// exit returns the exit status of an error.
func exit(err error, failEmpty bool) int {
	_, usage := errors.AsType[*usageError](err)
	e, told := errors.AsType[*control.Error](err)
	switch {
	case err == nil:
		return exitDone
	case usage:
		return exitUsage
	case errors.Is(err, control.ErrNoDaemon):
		return exitNoDaemon
	case errors.Is(err, errNotConfirmed):
		return exitNotConfirmed
	case errors.Is(err, errPartly), told && e.Kind == control.KindIncomplete:
		return exitPartly
	case missing(err) && failEmpty:
		return exitEmpty
	case told && e.Kind == control.KindNoRight, errors.Is(err, fs.ErrPermission):
		return exitNoRight
	case told && (e.Kind == control.KindBadRequest || e.Kind == control.KindEmptySelection):
		return exitUsage
	}
	return exitFailed
}

// explain is the text about err for stderr, or nothing when all is said. It is safe, and
// one line, but for an expression that is wrong: below that the place is shown, which the
// daemon has made safe to print and safe leaves as it is.
func (a *app) explain(err error) string {
	e, told := errors.AsType[*control.Error](err)
	if !told || !strings.Contains(e.Text, "\n") {
		return safe(a.explainLine(err))
	}
	lines := strings.Split(e.Text, "\n")
	if e.Hint != "" {
		lines = append(lines, e.Hint)
	}
	for i, line := range lines {
		lines[i] = safe(line)
	}
	return strings.Join(lines, "\n")
}

func (a *app) explainLine(err error) string {
	usage, isUsage := errors.AsType[*usageError](err)
	switch {
	case err == nil, errors.Is(err, errPartly), errors.Is(err, errRefused):
		return ""
	case isUsage:
		return usage.text
	case errors.Is(err, control.ErrNoDaemon):
		if _, missing := os.Stat(filepath.Join(a.base, "Settings")); errors.Is(missing, fs.ErrNotExist) {
			return fmt.Sprintf("%v, and no Settings there; --base or $CGQ_BASE names another place, cgqd init --base %s makes one", err, a.base)
		}
		return fmt.Sprintf("%v; start it with: cgqd --base %s", err, a.base)
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, fs.ErrPermission):
		return err.Error() + "; run it as root or as the user that cgqd runs as, or have rights in Settings/access.toml"
	}
	return err.Error()
}
