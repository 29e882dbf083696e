package cli

import (
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"cgq/pkg/control"
)

// queueRows yields so many host queues.
func queueRows(n int) iter.Seq2[control.QueueRow, error] {
	return func(yield func(control.QueueRow, error) bool) {
		for i := range n {
			if !yield(control.QueueRow{Module: "SMTP", Queue: fmt.Sprintf("d%05d.example", i), State: control.Delayed, Messages: 100, Recipients: 100, Bytes: 120_000,
				Oldest: time.Unix(1_700_000_000, 0), DelayedTill: time.Unix(1_700_001_000, 0), Attempts: 3, LastError: "450 4.7.1 greylisted, try again in 300 seconds"}, nil) {
				return
			}
		}
	}
}

// BenchmarkQueueList is what 10,000 host queues take on their way to a pipe.
func BenchmarkQueueList(b *testing.B) {
	now := time.Unix(1_700_000_500, 0)
	for b.Loop() {
		a := &app{format: formTable, now: func() time.Time { return now }}
		if n, err := writeTable(a, io.Discard, queueTable(a), queueRows(10_000)); n != 10_000 || err != nil {
			b.Fatal(n, err)
		}
	}
}
