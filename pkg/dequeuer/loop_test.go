package dequeuer_test

import (
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/queue"
)

// What programs have written without a return path may be about a report that the
// postmaster did not get: redirected by a Rule, or returned by a server whose postmaster
// is here. He is told of none of it, or that would go around for ever.
func TestPostmasterHearsOfNothingThatProgramsHaveReturned(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source mail.Source
		text   string
		moved  bool
	}{
		{"our report", mail.DSN, "Auto-Submitted: auto-replied\n\n", true},
		{"a person's", mail.SMTP, "Subject: x\n\n", true},
		{"another server's report", mail.SMTP, "Content-Type: multipart/report; report-type=delivery-status\n\n", false},
		{"a report that a Rule has redirected", mail.SRULE, "Auto-Submitted: auto-replied\n\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := postmaster(t)
			d.texts = map[mail.ID]string{4711: tt.text}
			work(t, d, func(hand func(queue.Report)) { hand(orphan(tt.source, failed(0))) })
			moved, dropped := d.stats.Counter("dequeuerFailedReportsMoved").Value(), d.stats.Counter("dequeuerFailedReportsDropped").Value()
			if got := moved == 1 && len(d.begotten) == 1; got != tt.moved || moved+dropped != 1 {
				t.Errorf("%d moved, %d dropped, %d reports; want it moved: %v", moved, dropped, len(d.begotten), tt.moved)
			}
		})
	}
}
