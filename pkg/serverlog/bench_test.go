package serverlog_test

import (
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/serverlog"
)

// The claim: a line at level 2 costs less than 1.5 µs and two allocations, one that
// is not wanted costs nothing.
func BenchmarkLine(b *testing.B) {
	fsys, err := disk.OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer fsys.Close()
	l, err := serverlog.Open(fsys, "SystemLogs", serverlog.Options{Level: serverlog.Major})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	log := serverlog.Session(l.Logger("SMTP"), 4929, "labanquepostale.fr")
	ctx := b.Context()
	const text = "sent [197.26.11.132]:44905 -> [178.213.67.13]:25, got:250 ok"
	b.Run("Major", func(b *testing.B) {
		b.ReportAllocs()
		id := messageID(113457753)
		for b.Loop() {
			id++
			log.Log(ctx, serverlog.Major, text, "id", id)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				log.Log(ctx, serverlog.Major, text, "id", messageID(113457753))
			}
		})
	})
	b.Run("session", func(b *testing.B) {
		b.ReportAllocs()
		queue := l.Logger("QUEUE")
		for b.Loop() {
			serverlog.Session(queue, 0, "[113457753]").Log(ctx, serverlog.Major, "enqueued")
		}
	})
	b.Run("disabled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			log.Debug("not wanted")
		}
	})
}
