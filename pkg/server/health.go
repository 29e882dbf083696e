package server

import (
	"context"
	"iter"
	"path"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/cli/process"
	"cgq/pkg/metrics"
	"cgq/pkg/module"
	"cgq/pkg/queue"
)

// health is how the daemon is, for cgq check.
func (s *server) health() admin.Health {
	c := s.config.Load()
	h := admin.Health{State: s.state.Load().(string), Limit: c.Queue.Enqueuer.QueueLimit, Intake: s.intake(),
		Age: c.Queue.Journal.Age.D(), Damage: int(s.damage.Load()), Durable: s.fs.durable, Wrong: s.problems(), Unshown: s.metrics.Wrong()}
	if !s.fs.kind.Keeps {
		h.FileSystem = s.fs.kind.Name
	}
	kept, err := s.fs.List(path.Join("Queue", "damaged"))
	if err != nil {
		s.system.Warn("cannot look into Queue/damaged: " + err.Error())
	}
	h.Kept = len(kept)
	return h
}

// intake is how mail is taken.
func (s *server) intake() admin.Intake {
	health := s.spool.Health()
	health.Messages -= s.kernel.InTrash() // which is counted apart
	return admin.Intake{Spool: health, Full: s.enqueuer.Full(context.Background())}
}

// gauges are the statistics elements that are asked when somebody looks.
func (s *server) gauges() {
	flag := func(is bool) int64 {
		if is {
			return 1
		}
		return 0
	}
	for name, value := range map[string]func() int64{
		"numQueuedMessages":     func() int64 { return int64(s.spool.Len() - s.kernel.InTrash()) },
		"numTrashedMessages":    func() int64 { return int64(s.kernel.InTrash()) },
		"numActRecipients":      func() int64 { n, _ := s.kernel.Acting(); return n },
		"numActRecipientsDone":  func() int64 { _, n := s.kernel.Acting(); return n },
		"numUnreadMessages":     func() int64 { return int64(s.spool.Unread()) },
		"journalFilledPercent":  func() int64 { return int64(100 * s.spool.Load().Journal) },
		"journalClosedSegments": func() int64 { return int64(s.spool.Load().Closed) },
		"journalWaitingSenders": func() int64 { return int64(s.spool.Health().Senders) },
		"journalOldestSeconds": func() int64 {
			if at := s.spool.Health().Oldest; !at.IsZero() {
				return int64(time.Since(at).Seconds())
			}
			return 0
		},
		"journalWaitingSeconds": func() int64 { return int64(s.spool.Health().Waiting.Seconds()) },
		"journalFrames":         func() int64 { return s.spool.Health().Writes.Frames },
		"journalSyncs":          func() int64 { return s.spool.Health().Writes.Syncs },
		"journalBytes":          func() int64 { return s.spool.Health().Writes.Bytes },
		"checkpointFails":       func() int64 { return flag(s.spool.Health().Failed != nil) },
		"spoolYoungBytes":       func() int64 { return s.spool.Load().Young },
		"spoolFreeBytes":        func() int64 { return s.spool.Health().Free.Bytes },
		"spoolFreeInodes":       func() int64 { return s.spool.Health().Free.Inodes },
		"enqueuerIntakeClosed":  func() int64 { return flag(s.intake().Closed() != "") },
		"numDamagedFoundAtLoad": func() int64 { return s.damage.Load() },
	} {
		s.stats.Gauge(name, value)
	}
}

// shown is what Prometheus sees of the server, with its modules.
func (s *server) shown(modules []module.Module) *metrics.Server {
	names := []string{queue.Enqueuer}
	for _, m := range modules {
		names = append(names, m.Name())
	}
	return metrics.New(s.base, metrics.Source{Stats: &s.stats, Modules: names, Version: process.Version(), Now: time.Now,
		Queues: func() int { return s.config.Load().Metrics.Queues },
		Hosts: func() iter.Seq[queue.HostView] {
			return func(yield func(queue.HostView) bool) {
				for v, err := range s.kernel.Hosts(nil) {
					if err != nil || !yield(v) { // without a selection there is no error
						return
					}
				}
			}
		}}, s.log.Logger("METRICS"))
}

// look looks every second whether the queue is full, so that the log says in time that
// it is or is no more.
func (s *server) look(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.enqueuer.Full(ctx)
		}
	}
}
