package queue

import (
	"testing"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
)

// When the clock on the wall jumps a day either way, nothing is due the sooner or the later,
// and nothing is a day older.
func TestJump(t *testing.T) {
	for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		s := New()
		s.SetLimits("SMTP", limits)
		until := epoch.Add(time.Hour)
		add(s, 1, "tried")
		s.Apply(1, fact.Tried{Attempts: 1, Until: until})
		add(s, 2, "suspended")
		s.Apply(2, fact.Suspended{Module: "SMTP", Queue: "suspended", Attempts: 1, Until: until})
		add(s, 3, "delayed")
		s.Delay(fact.Delay{Module: "SMTP", Queue: "delayed", Attempts: 1, Until: until})
		s.Jump(by)
		add(s, 4, "late")
		s.Apply(4, fact.Tried{Attempts: 1, Until: until.Add(by)})
		now := epoch.Add(by)
		if k, _, ok := s.Take("SMTP", now.Add(59*time.Minute)); ok {
			t.Errorf("jump of %v: %v is due too soon", by, k)
		}
		for id := mail.ID(1); id <= 4; id++ {
			m, _ := s.Message(id, now)
			if r := m.Recipients[0]; !r.Until.Equal(until.Add(by)) {
				t.Errorf("jump of %v: message %d waits until %v, want %v", by, id, r.Until, until.Add(by))
			}
		}
		for range limits.Channels {
			if _, _, ok := s.Take("SMTP", now.Add(time.Hour)); !ok {
				t.Errorf("jump of %v: not all are due", by)
			}
		}
		if age := s.Age(3, epoch, now.Add(time.Hour)); age != time.Hour {
			t.Errorf("jump of %v: message 3 is %v old, want an hour", by, age)
		}
		if age := s.Age(5, now, now.Add(time.Hour)); age != time.Hour {
			t.Errorf("jump of %v: a message that came after it is %v old, want an hour", by, age)
		}
		if old := s.Older(Key{"SMTP", "tried"}, 2*time.Hour, 1, now.Add(time.Hour)); by > 0 && old != nil {
			t.Errorf("jump of %v: %v is too old", by, old)
		}
	}
}
