// Package process is what both programs have in common as processes: what ends them, and
// which version they are.
package process

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// UntilSignal is ctx until SIGINT or SIGTERM; the second one kills. What it ends with is
// [context.Canceled]: what NotifyContext ends with is that in some versions of Go only, and
// in others looks like a fault.
func UntilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	told, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(told, func() {
		stop()
		cancel()
	})
	return ctx, stop
}

// Version is that of the build: a tag, or a commit, "(devel)" without either, or "unknown".
func Version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "unknown"
}
