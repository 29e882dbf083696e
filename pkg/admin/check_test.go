package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
)

// well is a daemon in order, with a queue limit of 10.
func well() admin.Health {
	h := admin.Health{State: "running", Limit: 10, Age: 2 * time.Second, Durable: true}
	h.Spool.Free = spool.Space{Bytes: 1 << 30, Inodes: 10_000, Counts: true}
	h.Spool.Need = spool.Space{Bytes: 64 << 20, Inodes: 1000, Counts: true}
	return h
}

func TestCheckJudges(t *testing.T) {
	const warning, critical = control.VerdictWarning, control.VerdictCritical
	for name, tt := range map[string]struct {
		change func(*admin.Health)
		query  control.CheckQuery
		want   map[string]control.Verdict // that are not OK
		says   string                     // one of their texts
	}{
		"well":          {func(*admin.Health) {}, control.CheckQuery{}, nil, ""},
		"stopping":      {func(h *admin.Health) { h.State = "stopping" }, control.CheckQuery{}, map[string]control.Verdict{"daemon": warning}, "stopping"},
		"limit reached": {func(h *admin.Health) { h.Limit, h.Full = 4, true }, control.CheckQuery{}, map[string]control.Verdict{"queue": critical, "intake": critical}, "Queue Limit"},
		"over 80%":      {func(h *admin.Health) { h.Limit = 5 }, control.CheckQuery{}, map[string]control.Verdict{"queue": warning}, "4 messages"},
		"under 90%":     {func(h *admin.Health) { h.Limit = 5 }, control.CheckQuery{QueueWarning: 90}, nil, ""},
		"under 100%":    {func(h *admin.Health) { h.Limit = 5 }, control.CheckQuery{QueueWarning: 100}, nil, ""},
		"over 40%":      {func(*admin.Health) {}, control.CheckQuery{QueueWarning: 40}, map[string]control.Verdict{"queue": warning}, ""},
		"no limit":      {func(h *admin.Health) { h.Limit = 0 }, control.CheckQuery{QueueWarning: 1}, nil, ""},
		"space near":    {func(h *admin.Health) { h.Spool.Free.Bytes = 128<<20 - 1 }, control.CheckQuery{}, map[string]control.Verdict{"free_space": warning}, "127 MB are free, 64 MB must be"},
		"inodes near":   {func(h *admin.Health) { h.Spool.Free.Inodes = 1999 }, control.CheckQuery{}, map[string]control.Verdict{"free_inodes": warning}, "1999 inodes"},
		"no room": {func(h *admin.Health) {
			h.Spool.Free.Bytes, h.Spool.Closed = 1, spool.ErrSpace
		}, control.CheckQuery{}, map[string]control.Verdict{"free_space": critical, "intake": critical}, "too little free space"},
		"journal at 75%":   {func(h *admin.Health) { h.Spool.Journal = 0.75 }, control.CheckQuery{}, map[string]control.Verdict{"journal": warning}, "75% full"},
		"journal at 60%":   {func(h *admin.Health) { h.Spool.Journal = 0.6 }, control.CheckQuery{JournalWarning: 60}, map[string]control.Verdict{"journal": warning}, ""},
		"senders wait":     {func(h *admin.Health) { h.Spool.Senders = 3 }, control.CheckQuery{}, map[string]control.Verdict{"journal": critical}, "3 senders"},
		"a commit is late": {func(h *admin.Health) { h.Spool.Oldest = time.Now().Add(-time.Minute) }, control.CheckQuery{}, map[string]control.Verdict{"journal_age": warning}, "1m"},
		"by its age it is not": {func(h *admin.Health) {
			h.Spool.Oldest, h.Age = time.Now().Add(-time.Minute), time.Hour
		}, control.CheckQuery{}, nil, ""},
		"a commit is too late": {func(h *admin.Health) { h.Spool.Oldest = time.Now().Add(-time.Hour) }, control.CheckQuery{}, map[string]control.Verdict{"journal_age": critical}, "1h"},
		"checkpoints fail":     {func(h *admin.Health) { h.Spool.Failed = errors.New("disk full") }, control.CheckQuery{}, map[string]control.Verdict{"checkpoint": critical}, "disk full"},
		"broken":               {func(h *admin.Health) { h.Spool.Broken = errors.New("no journal") }, control.CheckQuery{}, map[string]control.Verdict{"intake": critical}, "no journal"},
		"damage found":         {func(h *admin.Health) { h.Damage = 2 }, control.CheckQuery{}, map[string]control.Verdict{"damaged": warning}, "2 things"},
		"damage kept":          {func(h *admin.Health) { h.Kept = 1 }, control.CheckQuery{}, map[string]control.Verdict{"damaged": warning}, "1 files"},
		"a bad file system":    {func(h *admin.Health) { h.FileSystem = "tmpfs" }, control.CheckQuery{}, map[string]control.Verdict{"durable": warning}, "tmpfs"},
		"not durable":          {func(h *admin.Health) { h.Durable = false }, control.CheckQuery{}, map[string]control.Verdict{"durable": critical}, "durable = false"},
		"wrong settings": {func(h *admin.Health) {
			h.Wrong = settings.Problems{{File: "Settings/queue.toml", Line: 3, Why: "bad"}, {}}
		}, control.CheckQuery{}, map[string]control.Verdict{"settings": warning}, "Settings/queue.toml:3: bad (and 1 more)"},
		"no metrics":        {func(h *admin.Health) { h.Unshown = errors.New("it is taken") }, control.CheckQuery{}, map[string]control.Verdict{"metrics": warning}, "it is taken"},
		"old":               {func(*admin.Health) {}, control.CheckQuery{OldestWarning: control.Seconds(time.Hour)}, map[string]control.Verdict{"oldest_message": warning}, ""},
		"too old":           {func(*admin.Health) {}, control.CheckQuery{OldestWarning: control.Seconds(time.Second), OldestCritical: control.Seconds(time.Hour)}, map[string]control.Verdict{"oldest_message": critical}, ""},
		"old enough":        {func(*admin.Health) {}, control.CheckQuery{OldestCritical: control.Seconds(20 * 8766 * time.Hour)}, nil, ""},
		"delayed":           {func(*admin.Health) {}, control.CheckQuery{DelayedWarning: 1}, map[string]control.Verdict{"delayed_queues": warning}, "1 host queues"},
		"delayed, too many": {func(*admin.Health) {}, control.CheckQuery{DelayedWarning: 1, DelayedCritical: 1}, map[string]control.Verdict{"delayed_queues": critical}, ""},
		"delayed, few":      {func(*admin.Health) {}, control.CheckQuery{DelayedWarning: 2}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			for _, to := range []string{"x@b.example", "y@b.example", "z@c.example", "u@d.example"} {
				h.put(t, to)
			}
			h.delay(t, "SMTP", "b.example", till(), "nobody at home")
			h.health = well()
			h.health.Spool.Messages = 4
			tt.change(&h.health)
			got, says := map[string]control.Verdict{}, ""
			items := all(t, control.Check.Do(t.Context(), h.client, tt.query))
			for _, i := range items {
				if i.Text == "" || i.Name == "" {
					t.Errorf("%+v has no name or no text", i)
				}
				if i.State != control.VerdictOK {
					got[i.Name], says = i.State, says+i.Text+"\n"
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) && len(got)+len(tt.want) > 0 || !strings.Contains(says, tt.says) {
				t.Errorf("got %v, %q; want %v, %q", got, says, tt.want, tt.says)
			}
			if len(items) != 14 {
				t.Errorf("%d items, want 14", len(items))
			}
		})
	}
}

func TestThresholdsAreHeldToTheirRanges(t *testing.T) {
	h := newHouse(t)
	h.health = well()
	for _, q := range []control.CheckQuery{{QueueWarning: -1}, {QueueWarning: 101}, {JournalWarning: 101}, {DelayedWarning: -1},
		{DelayedWarning: 5, DelayedCritical: 4}, {OldestWarning: control.Seconds(time.Hour), OldestCritical: control.Seconds(time.Minute)}} {
		refused(t, fmt.Sprintf("%+v", q), failure(control.Check.Do(t.Context(), h.client, q)), control.KindBadRequest)
	}
}
