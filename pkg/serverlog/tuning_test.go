package serverlog_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/serverlog"
)

// A level that is set by hand for a time goes back by itself, one without a time when the
// settings say something else; and each only for its component.
func TestLevelByHand(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		defer l.Close()
		l.SetLevels(serverlog.Problem, map[string]slog.Level{"SMTP": serverlog.Low})
		for _, tag := range []string{"SMTP", "QUEUE", "ROUTER"} {
			l.Logger(tag)
		}
		var ended atomic.Int32
		check := func(what string, smtp, queue, router slog.Level, wantEnded int32) {
			t.Helper()
			synctest.Wait()
			got := map[string]slog.Level{}
			for _, s := range l.Levels() {
				got[s.Tag] = s.Level
				if log := l.Logger(s.Tag); !log.Enabled(t.Context(), s.Level) || log.Enabled(t.Context(), s.Level-1) {
					t.Errorf("%s: %s is not at the level that is said", what, s.Tag)
				}
			}
			if got["SMTP"] != smtp || got["QUEUE"] != queue || got["ROUTER"] != router || ended.Load() != wantEnded {
				t.Errorf("%s: %v and %d ended, want %v, %v, %v and %d", what, got, ended.Load(), smtp, queue, router, wantEnded)
			}
		}
		end := func() { ended.Add(1) }
		l.SetLevel("SMTP", serverlog.All, 10*time.Minute, end)
		l.SetLevel("QUEUE", serverlog.All, 0, end)
		if s := l.Levels()[2]; !s.ByHand || s.Settings != serverlog.Low || time.Until(s.Until) != 10*time.Minute {
			t.Errorf("SMTP is %+v", s)
		}
		time.Sleep(10*time.Minute - 1)
		check("just before", serverlog.All, serverlog.All, serverlog.Problem, 0)
		time.Sleep(time.Nanosecond)
		check("after ten minutes", serverlog.Low, serverlog.All, serverlog.Problem, 1)

		l.SetLevel("SMTP", serverlog.All, time.Minute, end)
		l.SetLevel("SMTP", serverlog.Major, time.Hour, end)
		time.Sleep(2 * time.Minute)
		check("set twice", serverlog.Major, serverlog.All, serverlog.Problem, 1)
		l.ResetLevel("SMTP")
		time.Sleep(2 * time.Hour)
		check("reset", serverlog.Low, serverlog.All, serverlog.Problem, 1)

		l.SetLevel("SMTP", serverlog.All, time.Hour, end)
		l.SetLevels(serverlog.Problem, map[string]slog.Level{"SMTP": serverlog.Low, "ROUTER": serverlog.Major})
		check("settings that change another", serverlog.All, serverlog.All, serverlog.Major, 1)
		l.SetLevels(serverlog.Problem, map[string]slog.Level{"SMTP": serverlog.Failure, "QUEUE": serverlog.Low})
		time.Sleep(2 * time.Hour)
		check("settings that change them", serverlog.Failure, serverlog.Low, serverlog.Problem, 1)

		l.SetLevel("SMTP", serverlog.All, time.Minute, end)
		l.Close() // a timer that is left would be a goroutine that is left
	})
}
