package serverlog_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
)

// powerLoss logs on two days, syncs the log on both, loses the power and returns what is wrong.
func powerLoss(t *testing.T, sabotage crashdisk.Fault) (mishap error) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.NewTree(-1)
		d.Fail(sabotage)
		l, err := serverlog.Open(d, "SystemLogs", serverlog.Options{Level: serverlog.All})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		log := l.Logger("SMTP")
		look := func(want ...string) {
			if err := l.Sync(); err != nil {
				t.Errorf("Sync = %v", err)
			}
			for seed := range uint64(20) {
				text := fmt.Sprint(d.Restart(rand.New(rand.NewPCG(seed, 0))).Files(".log"))
				for _, w := range want {
					if mishap == nil && !strings.Contains(text, w) {
						mishap = fmt.Errorf("%q is lost, there is %q", w, text)
					}
				}
			}
		}
		log.Info("one")
		look("one")
		log.Info("two")
		l.Flush()
		time.Sleep(time.Until(midnight()))
		log.Info("three")
		look("one", "two", "three")
	})
	return mishap
}

func TestSyncedLinesSurvivePowerLoss(t *testing.T) {
	if err := powerLoss(t, nil); err != nil {
		t.Error(err)
	}
	// A test of the test: each sync that is left out must be missed.
	for _, tt := range []struct {
		name, op, file string
		nth            int // only this time, counted from 1; 0: every time
	}{
		{"the directory has its name", "syncdir", ".", 0},
		{"the first file has its name", "syncdir", "SystemLogs", 1},
		{"the second file has its name", "syncdir", "SystemLogs", 2},
		{"the first file has its bytes", "datasync", "SystemLogs/2000-01-01.log", 1},
		{"it is synced before the next begins", "datasync", "SystemLogs/2000-01-01.log", 2},
		{"the second file has its bytes", "datasync", "SystemLogs/2000-01-02.log", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			err := powerLoss(t, func(op, name string) error {
				if op != tt.op || name != tt.file {
					return nil
				}
				if n++; tt.nth == 0 || n == tt.nth {
					return crashdisk.Lie
				}
				return nil
			})
			if err == nil {
				t.Fatal("nothing was lost without it")
			}
			t.Log("found, as it should be:", err)
		})
	}
}
