package kernel

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"cgq/pkg/fact"
	"cgq/pkg/mail"
	"cgq/pkg/queue"
	"cgq/pkg/serverlog"
)

// The lines that people and scripts look for, in the product's words: [id],
// relayed:, delivered:, failed:, delayed till, enqueued, dequeued, deleted.

var background = context.Background()

func (k *Kernel) queueLog(id mail.ID) *slog.Logger {
	return serverlog.Session(k.log.Queue, 0, "["+id.String()+"]")
}

func (k *Kernel) logEnqueued(id mail.ID, total int) {
	if k.log.Queue.Enabled(background, serverlog.Major) {
		k.queueLog(id).Log(background, serverlog.Major, "enqueued, nTotal="+strconv.Itoa(total))
	}
}

func (k *Kernel) logGone(id mail.ID, total int) {
	if k.log.Queue.Enabled(background, serverlog.Major) {
		k.queueLog(id).Log(background, serverlog.Major, "deleted, nTotal="+strconv.Itoa(total))
	}
}

// A settled recipient is one to write a line about.
type settled struct {
	id   mail.ID
	by   string // who rejected it; empty: nobody did
	note string // what a person has done of it that is no end; empty: the result says all
	queue.Done
	of *queue.Sent // for the log EMails
}

// collect notes a change that has just been applied, if it settles a recipient, or moves it
// into the trash or out of it. The caller holds mu: a moment later the message may be gone.
func (k *Kernel) collect(all []settled, c fact.Change) []settled {
	s := settled{id: c.ID}
	rcpt := 0
	switch f := c.Fact.(type) {
	case fact.Settled:
		rcpt = f.Rcpt
	case fact.Rejected:
		rcpt, s.by = f.Rcpt, f.By
		if d, _ := k.state.Result(c.ID, rcpt); d.Person && !d.Wanted {
			s.note = "moved to the trash by " + f.By + " in act " + strconv.FormatUint(f.Act, 10)
			if f.Text != "" {
				s.note += ": " + f.Text
			}
		}
	case fact.Undone:
		s.note = "restored from the trash by " + f.By
		if _, to, key, ok := k.state.Where(queue.Row{ID: c.ID, Rcpt: f.Rcpt}); ok {
			s.To, s.Key = to, key
			return append(all, s)
		}
		return all
	case fact.Purged:
		rcpt, s.note = f.Rcpt, "purged from the trash"
		if f.By != "" {
			s.note += " by " + f.By
		}
	default:
		return all
	}
	var ok bool
	if s.Done, ok = k.state.Result(c.ID, rcpt); ok {
		if k.log.EMails != nil && s.note == "" && k.log.Deliveries() {
			s.of = k.state.Sent(c.ID)
		}
		all = append(all, s)
	}
	return all
}

// logEMail writes the record of a delivery, or of a failure, into the log EMails:
// [id] SMTP from <a@b> to <c@d> SMTP(d) relayed: 250 ok, size=… delay=…
func (k *Kernel) logEMail(s *settled, where string) {
	of := s.of
	attrs := []slog.Attr{slog.Any("id", s.id), slog.Int64("size", of.Size), slog.String("delay", s.At.Sub(of.Submitted).Round(time.Millisecond).String()),
		slog.Int("tries", s.Tries), slog.String("status", s.Result.Status.String())}
	if s.Result.Action == mail.Failed && k.log.Class != nil {
		attrs = append(attrs, slog.String("class", k.log.Class(s.Result)))
	}
	if s.Result.MTA != "" {
		attrs = append(attrs, slog.String("host", s.Result.MTA))
	}
	if of.Auth != "" {
		attrs = append(attrs, slog.String("account", of.Auth))
	}
	if s.by != "" {
		attrs = append(attrs, slog.String("by", s.by))
	}
	k.log.EMails.LogAttrs(background, serverlog.Major, of.Source.String()+" from "+of.ReturnPath.Path()+" to "+of.Recipients[s.Rcpt].Address.Path()+" "+
		where+s.To.String()+" "+s.Result.Action.String()+": "+s.Result.String(), attrs...)
}

// logSettled writes DEQUEUER [id] SMTP(example.com)u@example.com relayed: text.
func (k *Kernel) logSettled(all []settled) {
	for _, s := range all {
		if s.of != nil {
			where := s.Key.String()
			if s.Key == (queue.Key{}) {
				where = "SYSTEM(NULL)"
			}
			k.logEMail(&s, where)
		}
		level := serverlog.Major
		if s.note == "" && s.Result.Action == mail.Failed {
			level = serverlog.Failure
		}
		if !k.log.Dequeuer.Enabled(background, level) {
			continue
		}
		where, text := s.Key.String(), s.Result.String()
		if s.Key == (queue.Key{}) {
			where = "SYSTEM(NULL)"
		}
		switch {
		case s.note != "":
			text = s.note
		case s.by != "":
			text = s.Result.Action.String() + ": rejected by " + s.by + ": " + text
		default:
			text = s.Result.Action.String() + ": " + text
		}
		k.log.Dequeuer.LogAttrs(background, level, where+s.To.String()+" "+text, slog.Any("id", s.id))
	}
}

func (k *Kernel) logTried(id mail.ID, key queue.Key, to mail.Address, t fact.Tried) {
	k.log.Dequeuer.LogAttrs(background, serverlog.Problem, key.String()+to.String()+" delayed till "+clock(t.Until)+
		": "+t.Result.String(), slog.Any("id", id))
}

func (k *Kernel) logSuspended(id mail.ID, s fact.Suspended) {
	k.log.Dequeuer.LogAttrs(background, serverlog.Problem, queue.Key{Module: s.Module, Queue: s.Queue}.String()+
		" message delayed till "+clock(s.Until)+": "+s.Result.String(), slog.Any("id", id))
}

func (k *Kernel) logDelayed(d fact.Delay) {
	k.log.Queue.Log(background, serverlog.Problem, queue.Key{Module: d.Module, Queue: d.Queue}.String()+
		" delayed till "+clock(d.Until)+": "+d.Result.String(), "attempts", d.Attempts)
}

// clock is a local time as the log writes it, with the day when it is not near.
func clock(t time.Time) string {
	if d := time.Until(t); d < 12*time.Hour && d > -12*time.Hour {
		return t.Local().Format("15:04:05")
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
