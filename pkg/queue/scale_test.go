package queue

import (
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

// What one asks of a queue of a million messages in 10,000 host queues. A step is what is
// done under one lock: a thousand messages.
func BenchmarkMillion(b *testing.B) {
	s := fill(1_000_000, 10_000)
	now := epoch.Add(30 * time.Minute)
	compile := func(t selection.Terms) *selection.Selection {
		sel, err := selection.Compile(t)
		if err != nil {
			b.Fatal(err)
		}
		return sel
	}
	steps := func(b *testing.B, step func(after mail.ID) (mail.ID, bool)) {
		longest := time.Duration(0)
		for b.Loop() {
			for after, more := mail.ID(0), true; more; {
				began := time.Now()
				after, more = step(after)
				longest = max(longest, time.Since(began))
			}
		}
		b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest-step")
	}
	for name, sel := range map[string]*selection.Selection{"sender": compile(selection.Terms{Sender: []string{"sender007@sender.example"}}),
		"where": compile(selection.Terms{Where: `sender == "sender007@sender.example"`}), "queue": compile(selection.Terms{Queue: []string{"d00007.example"}}),
		"age": compile(selection.Terms{Age: []string{">29m"}}), "state": compile(selection.Terms{State: []string{"suspended"}})} {
		b.Run("messages by "+name, func(b *testing.B) {
			steps(b, func(after mail.ID) (mail.ID, bool) {
				_, last, more, _ := s.Messages(sel, after, 1000, now)
				return last, more
			})
		})
	}
	b.Run("each recipient domain", func(b *testing.B) {
		counts := map[string]int{}
		steps(b, func(after mail.ID) (mail.ID, bool) {
			last, more, _ := s.Each(nil, after, 1000, now, func(who selection.Subject, _ time.Duration) { counts[who.Recipient().Domain]++ })
			return last, more
		})
	})
	b.Run("hosts", func(b *testing.B) {
		for b.Loop() {
			for _, k := range s.Hosts() {
				s.Host(k, now)
			}
		}
	})
}
