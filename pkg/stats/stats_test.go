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
	want := []stats.Element{{"aaa", 0}, {"numQueuedMessages", 7}, {"smtpInputTotal", 3}}
	if got := s.All(); !slices.Equal(got, want) {
		t.Errorf("All = %v, want %v", got, want)
	}
}
