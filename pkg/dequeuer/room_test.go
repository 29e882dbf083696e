package dequeuer_test

import (
	"strings"
	"testing"
	"time"

	"cgq/pkg/module"
	"cgq/pkg/queue"
)

// A full queue refuses reports that do not take the place of their message. Of many
// that wait one is tried every few seconds; what goes with its message, and what needs
// no report, does not wait for them; and in the end each is written, once.
func TestReportsThatWaitForRoomBlockNobody(t *testing.T) {
	d := newDesk()
	full, tries := true, 0
	d.begetFails = func() error {
		if tries++; full {
			return module.Reject(4, 3, 1, "the queue is full")
		}
		return nil
	}
	unwanted := failed(0)
	unwanted.Wanted = false
	work(t, d, func(hand func(queue.Report)) {
		begin := time.Now()
		for range 100 {
			hand(about(false, failed(0)))
		}
		if len(d.returned) != 100 || tries != 1 {
			t.Fatalf("%d returned after %d tries; want all of them after one", len(d.returned), tries)
		}
		for _, r := range d.returned {
			if wait := r.at.Sub(begin); wait < time.Second || wait > time.Minute {
				t.Fatalf("tried again after %v", wait)
			}
		}
		hand(about(true, unwanted))
		if len(d.gone) != 1 {
			t.Error("what needs no report waits, too")
		}
		hand(about(true, failed(0)))
		if tries != 2 {
			t.Errorf("%d tries, want one of a last report", tries)
		}
		full = false
		time.Sleep(10 * time.Second)
		for range 100 {
			hand(about(false, failed(0)))
		}
	})
	if len(d.begotten) != 100 {
		t.Errorf("%d reports, want 100", len(d.begotten))
	}
	log := d.log.String()
	if strings.Count(log, "reports wait: ") != 1 || strings.Count(log, "reports are written again") != 1 || strings.Contains(log, "cannot report") {
		t.Errorf("want begin and end in the log: %.1000s", log)
	}
}

// A last report that finds room says nothing about the others, as long as they are
// refused; and when nobody is any more, it does.
func TestRoomForLastReportsAlone(t *testing.T) {
	d := newDesk()
	last := false
	d.begetFails = func() error {
		if last {
			return nil
		}
		return module.Reject(4, 3, 1, "the queue is full")
	}
	hand := func(hand func(queue.Report), is bool) {
		last = is
		hand(about(is, failed(0)))
	}
	work(t, d, func(h func(queue.Report)) {
		for range 3 {
			hand(h, false)
			hand(h, true)
			time.Sleep(5 * time.Second)
		}
		if log := d.log.String(); strings.Count(log, "reports wait: ") != 1 || strings.Contains(log, "written again") {
			t.Errorf("log %s", log)
		}
		time.Sleep(time.Minute)
		hand(h, true)
		if log := d.log.String(); strings.Count(log, "reports are written again") != 1 {
			t.Errorf("log %s", log)
		}
	})
}
