package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// With Go 1.26.0 each stop of cgqd looked like a failure: status 1, and no last checkpoint;
// and cgq log tail -f ended with status 1.
func TestASignalIsNoFault(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			again := make(chan os.Signal, 1) // nobody is killed by it
			signal.Notify(again, sig)
			defer signal.Stop(again)
			ctx, stop := UntilSignal(t.Context())
			defer stop()
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Signal(sig)
			}
			if err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			if got := context.Cause(ctx); got != context.Canceled { // that itself, not what says it is
				t.Errorf("cause = %v, want %v", got, context.Canceled)
			}
		})
	}
}
