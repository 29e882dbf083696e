package kernel

import (
	"testing"
	"time"
)

// What passes on the wall and what passes differ when somebody has set the clock: each jump
// is told once, and little corrections are none.
func TestWall(t *testing.T) {
	began := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	w := &wall{began: began}
	passed, shown := time.Duration(0), time.Duration(0)
	for _, step := range []struct{ passes, jumps, want time.Duration }{
		{time.Hour, 0, 0},
		{time.Second, 30 * time.Second, 0}, // a clock that is put right
		{time.Minute, 24 * time.Hour, 24*time.Hour + 30*time.Second},
		{time.Hour, 0, 0},
		{time.Hour, -48 * time.Hour, -48 * time.Hour},
		{time.Minute, 24 * time.Hour, 24 * time.Hour},
		{1000 * time.Hour, 0, 0},
	} {
		passed += step.passes
		shown += step.passes + step.jumps
		if got := w.jump(began.Add(shown), passed); got != step.want {
			t.Errorf("after %v, with a jump of %v: %v, want %v", passed, step.jumps, got, step.want)
		}
	}
}

// Waits grow with the attempts, up to the last of the schedule, and a schedule ends with
// the attempt after which the message is given up.
func TestSchedule(t *testing.T) {
	p := Plan{Retry: []time.Duration{5 * time.Minute, 10 * time.Minute, time.Hour}, Expire: 3 * time.Hour}
	last := time.Duration(0)
	for n := range 100 {
		if w := p.wait(n); w < last || w > time.Hour {
			t.Errorf("attempt %d: %v, after %v", n, w, last)
		} else {
			last = w
		}
	}
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	minutes := func(all []time.Time) (m []int) {
		for _, at := range all {
			m = append(m, int(at.Sub(now)/time.Minute))
		}
		return m
	}
	for _, tt := range []struct {
		first    time.Time
		attempts int
		expires  time.Time
		want     []int
	}{
		{time.Time{}, 0, now.Add(3 * time.Hour), []int{0, 5, 15, 75, 135, 195}},
		{now.Add(7 * time.Minute), 2, now.Add(time.Hour), []int{7, 67}},
		{now.Add(7 * time.Minute), 5, now.Add(-time.Hour), []int{7}},
	} {
		got := minutes(p.schedule(tt.first, now, tt.attempts, tt.expires))
		if len(got) != len(tt.want) {
			t.Errorf("%+v: %v", tt, got)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%+v: %v", tt, got)
			}
		}
	}
	if got := p.schedule(time.Time{}, now, 0, time.Time{}); len(got) != scheduled {
		t.Errorf("%d times of a message that never expires, want %d", len(got), scheduled)
	}
}

// A module that gives nothing up has no last attempt.
func TestExpires(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)
	k := New(nil, func(module string) Plan { return map[string]Plan{"SMTP": {Expire: 3 * time.Hour}}[module] }, Logs{})
	if got := k.Expires("SMTP", now); !got.Equal(now.Add(3 * time.Hour)) {
		t.Errorf("SMTP: %v, want three hours later", got)
	}
	if got := k.Expires("LOCAL", now); !got.IsZero() {
		t.Errorf("LOCAL: %v, want never", got)
	}
}
