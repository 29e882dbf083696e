package stats_test

import (
	"slices"
	"testing"

	"cgq/pkg/stats"
)

func TestElementsAreSortedAndLive(t *testing.T) {
	var s stats.Set
	s.Gauge("numQueuedMessages", func() int64 { return 7 })
	s.Counter("smtpInputTotal").Add(2)
	s.Counter("smtpInputTotal").Add(1)
	s.Counter("aaa")
	want := []stats.Element{{Name: "aaa"}, {"numQueuedMessages", 7, stats.Level, "messages in the Queue"},
		{"smtpInputTotal", 3, stats.Total, "SMTP sessions that others have opened"}}
	if got := s.All(); !slices.Equal(got, want) {
		t.Errorf("All = %v, want %v", got, want)
	}
}
