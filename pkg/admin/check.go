package admin

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/settings"
	"cgq/pkg/spool"
)

// Health is how the daemon is, apart from what the kernel knows.
type Health struct {
	State string // running, stopping
	Limit int    // chapter: Queue Limit; 0: none
	Intake
	Age        time.Duration     // journal_age
	Damage     int               // things that the last start has found damaged
	Kept       int               // files in Queue/damaged
	FileSystem string            // that of the Queue, if it does not keep what was synced
	Durable    bool              // everything is synced
	Unshown    error             // why metrics are not shown where the settings say
	Wrong      settings.Problems // why the files of settings are not applied as they are on the disk
}

// An Intake is whether new mail is taken.
type Intake struct {
	Spool spool.Health
	Full  bool // the Queue Limit is reached
}

// Closed says why no new mail is taken, or nothing.
func (i Intake) Closed() string {
	switch {
	case i.Spool.Broken != nil:
		return i.Spool.Broken.Error()
	case i.Spool.Closed != nil:
		return i.Spool.Closed.Error()
	case i.Full:
		return "the Queue Limit is reached"
	}
	return ""
}

func (s *Server) check(_ context.Context, _ control.Actor, in control.CheckQuery) iter.Seq2[control.CheckItem, error] {
	return func(yield func(control.CheckItem, error) bool) {
		h := s.Health()
		now := time.Now()
		waits := s.waits(now)
		waits.messages = h.Spool.Messages
		for _, item := range h.items(in, waits, now) {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// A waitings is what waits in the queue.
type waitings struct {
	messages int
	oldest   time.Duration // since the submission of the oldest message in a host queue
	delayed  int           // host queues
}

func (s *Server) waits(now time.Time) (w waitings) {
	for v, err := range s.Kernel.Hosts(nil) {
		if err != nil {
			break // without an expression there is none
		}
		if !v.Oldest.IsZero() {
			w.oldest = max(w.oldest, now.Sub(v.Oldest))
		}
		if !v.Until.IsZero() {
			w.delayed++
		}
	}
	return w
}

// items judges. The order is that of interest.
func (h *Health) items(q control.CheckQuery, w waitings, now time.Time) []control.CheckItem {
	items := []control.CheckItem{h.daemon(), h.intake(), h.queue(q, w),
		above("oldest_message", int64(w.oldest.Seconds()), "s", seconds(q.OldestWarning), seconds(q.OldestCritical),
			"the oldest message is "+w.oldest.Truncate(time.Second).String()+" old"),
		above("delayed_queues", int64(w.delayed), "", int64(q.DelayedWarning), int64(q.DelayedCritical),
			strconv.Itoa(w.delayed)+" host queues are delayed")}
	items = append(items, h.space()...)
	return append(items, h.journal(q), h.journalAge(now), h.checkpoint(), h.damaged(), h.promises(), h.settings(), h.metrics())
}

func seconds(s control.Seconds) int64 { return int64(s.Duration().Seconds()) }

// item is one that is yes or no: in order without a text about what is wrong.
func item(name, fine, wrong string, state control.Verdict) control.CheckItem {
	if wrong == "" {
		return control.CheckItem{Name: name, State: control.VerdictOK, Text: fine}
	}
	return control.CheckItem{Name: name, State: state, Value: 1, Text: wrong}
}

// above is one that is wrong when its value reaches a threshold; 0 is none.
func above(name string, value int64, unit string, warning, critical int64, text string) control.CheckItem {
	i := control.CheckItem{Name: name, State: control.VerdictOK, Value: value, Unit: unit, Text: text}
	if warning > 0 {
		i.Warning = strconv.FormatInt(warning-1, 10) // more than that
		if value >= warning {
			i.State = control.VerdictWarning
		}
	}
	if critical > 0 {
		i.Critical = strconv.FormatInt(critical-1, 10)
		if value >= critical {
			i.State = control.VerdictCritical
		}
	}
	return i
}

// below is one that is wrong when its value is less than a threshold.
func below(name string, value int64, unit string, warning, critical int64, text string) control.CheckItem {
	i := control.CheckItem{Name: name, State: control.VerdictOK, Value: value, Unit: unit, Text: text,
		Warning: strconv.FormatInt(warning, 10) + ":", Critical: strconv.FormatInt(critical, 10) + ":"}
	switch {
	case value < critical:
		i.State = control.VerdictCritical
	case value < warning:
		i.State = control.VerdictWarning
	}
	return i
}

func (h *Health) daemon() control.CheckItem {
	if h.State == "running" {
		return item("daemon", "running", "", "")
	}
	return item("daemon", "", "the daemon is "+h.State, control.VerdictWarning)
}

func (h *Health) intake() control.CheckItem {
	wrong := h.Closed()
	if wrong != "" {
		wrong = "no new mail is taken: " + wrong
	}
	return item("intake", "new mail is taken", wrong, control.VerdictCritical)
}

func (h *Health) queue(q control.CheckQuery, w waitings) control.CheckItem {
	text := strconv.Itoa(w.messages) + " messages in the queue"
	if h.Limit == 0 {
		return above("queue", int64(w.messages), "", 0, 0, text+", which has no limit")
	}
	percent := q.QueueWarning
	if percent == 0 {
		percent = control.QueueWarning
	}
	warning := (int64(h.Limit)*int64(percent) + 99) / 100 // rounded up
	return above("queue", int64(w.messages), "", warning, int64(h.Limit), text+", whose limit is "+strconv.Itoa(h.Limit))
}

// space is near its end with less than twice of what there must be.
func (h *Health) space() (items []control.CheckItem) {
	free, need := h.Spool.Free, h.Spool.Need
	if free == (spool.Space{}) && need == (spool.Space{}) {
		return nil
	}
	items = append(items, below("free_space", free.Bytes, "B", 2*need.Bytes, need.Bytes,
		fmt.Sprintf("%d MB are free, %d MB must be", free.Bytes>>20, need.Bytes>>20)))
	if free.Counts {
		items = append(items, below("free_inodes", free.Inodes, "", 2*need.Inodes, need.Inodes,
			fmt.Sprintf("%d inodes are free, %d must be", free.Inodes, need.Inodes)))
	}
	return items
}

func (h *Health) journal(q control.CheckQuery) control.CheckItem {
	percent := q.JournalWarning
	if percent == 0 {
		percent = control.JournalWarning
	}
	filled := int64(100 * h.Spool.Journal)
	i := above("journal", filled, "%", int64(percent), 0,
		fmt.Sprintf("the journal is %d%% full, %d segments wait for a checkpoint", filled, h.Spool.Load.Closed))
	if n := h.Spool.Senders; n > 0 {
		i.State, i.Text = control.VerdictCritical, i.Text+", "+strconv.Itoa(n)+" senders wait for room"
	}
	return i
}

// A commit waits for its checkpoint as long as journal_age says; then the next one
// takes it, or the one after.
const (
	lateAfter    = 30 * time.Second
	tooLateAfter = 5 * time.Minute
)

func (h *Health) journalAge(now time.Time) control.CheckItem {
	var age time.Duration
	if !h.Spool.Oldest.IsZero() {
		age = now.Sub(h.Spool.Oldest)
	}
	return above("journal_age", int64(age.Seconds()), "s", int64((h.Age + lateAfter).Seconds()), int64((h.Age + tooLateAfter).Seconds()),
		"the oldest commit has waited "+age.Truncate(time.Second).String()+" for a checkpoint")
}

func (h *Health) checkpoint() control.CheckItem {
	wrong := ""
	if h.Spool.Failed != nil {
		wrong = "the last checkpoint failed: " + h.Spool.Failed.Error()
	}
	return item("checkpoint", "the last checkpoint went well", wrong, control.VerdictCritical)
}

func (h *Health) damaged() control.CheckItem {
	i := above("damaged", int64(max(h.Damage, h.Kept)), "", 1, 0, "nothing is damaged")
	if i.State != control.VerdictOK {
		i.Text = fmt.Sprintf("%d things were damaged at the start, %d files are in Queue/damaged", h.Damage, h.Kept)
	}
	return i
}

func (h *Health) promises() control.CheckItem {
	switch {
	case !h.Durable:
		return item("durable", "", "nothing is synced (durable = false): all mail may be lost", control.VerdictCritical)
	case h.FileSystem != "":
		return item("durable", "", "the Queue is on "+h.FileSystem+": accepted mail may be lost", control.VerdictWarning)
	}
	return item("durable", "what is accepted survives power loss", "", "")
}

// settings are wrong when somebody has edited a file and it cannot be used: the old ones stay,
// but a start would refuse.
func (h *Health) settings() control.CheckItem {
	if len(h.Wrong) == 0 {
		return item("settings", "the settings are those of the files", "", "")
	}
	what := "the old settings stay, and a start would refuse the files: "
	if h.Wrong.Absent() {
		what = "the settings count without what is not there: "
	}
	i := above("settings", int64(len(h.Wrong)), "", 1, 0, what+h.Wrong[0].Error())
	if more := len(h.Wrong) - 1; more > 0 {
		i.Text += fmt.Sprintf(" (and %d more)", more)
	}
	return i
}

func (h *Health) metrics() control.CheckItem {
	wrong := ""
	if h.Unshown != nil {
		wrong = "metrics are not shown: " + h.Unshown.Error()
	}
	return item("metrics", "metrics are shown where the settings say", wrong, control.VerdictWarning)
}
