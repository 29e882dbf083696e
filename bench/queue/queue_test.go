package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cgq/bench/rig"
	"cgq/pkg/endtoend/program"
)

// figure is one of a report.
func figure(t *testing.T, r *rig.Report, part, of, column string) float64 {
	t.Helper()
	for _, tab := range r.Tables {
		for _, row := range tab.Rows {
			for i, c := range tab.Columns {
				if tab.Name == part && row.Case == of && c.Name == column {
					return row.Figures[i]
				}
			}
		}
	}
	t.Errorf("%s has no %q of %q", part, column, of)
	return rig.None
}

// All parts, in small, with the real daemon. That the acts changed what they said, and
// that lists had their rows, run itself has looked at, or it would have failed.
func TestSmall(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	if err := program.Build(bin); err != nil {
		t.Fatal(err)
	}
	o := options{only: partNames(), messages: 2000, queues: 50, rounds: 1, channels: 1, seconds: 0.5,
		plan: rig.Plan{Dir: dir}, bin: bin, hurry: true, json: filepath.Join(dir, "figures.json")}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	r, err := run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		part, of, column string
		least, most      float64
	}{
		{"memory", liveWaiting, "B/message", 100, 3000},
		{"memory", liveFailed, "B/message", 100, 4000},
		{"memory", resident, "MiB", 1, 1000},
		{"lists", queueList, "rows", 50, 50},
		{"lists", bySender, "rows", 1, 4},
		{"lists", "message list, of one domain", "rows", 40, 40},
		{"lists", byDomain, "rows", 51, 51}, // and that of all
		{"lists", "queue shape by sender", "rows", senders + 1, senders + 1},
		{"lists", "queue shape by error", "rows", 3, 8}, // the relay's is in it
		{"lists", queueList, "ms", 0.01, 5000},
		{"acts", idle, "max ms", 0.01, 5000},
		{"acts", bySender, "max ms", 0.01, 5000},
		{"acts", "release of host queues", "flushes", 1, 100},
		{"acts", "reject of senders, to the trash", "flushes", 1, 100},
		{"acts", "restore of that", "seconds", 0.00001, 10},
		{"clients", "release of host queues", "accepts/s before", 1, 1e6},
		{"clients", "reject of senders, to the trash", "during/before", 0, 100},
		{"clients", "restore of that", "seconds", 0.00001, 10},
	} {
		if got := figure(t, r, tt.part, tt.of, tt.column); got < tt.least || got > tt.most {
			t.Errorf("%s: %s: %s = %v, want %v to %v", tt.part, tt.of, tt.column, got, tt.least, tt.most)
		}
	}
	var written struct{ Parts []struct{ Name string } }
	text, err := os.ReadFile(o.json)
	if err == nil {
		err = json.Unmarshal(text, &written)
	}
	if err != nil || len(written.Parts) != len(parts) {
		t.Errorf("the file has %d parts, %v; want %d", len(written.Parts), err, len(parts))
	}
	if left, err := filepath.Glob(filepath.Join(dir, "cgq-bench-*")); len(left) > 0 || err != nil {
		t.Errorf("%v is left behind, %v", left, err)
	}
}

// Each tenth by digit and by domain of the sender is one, and each sender has his share.
func TestStockIsEven(t *testing.T) {
	s := stock{messages: 20_000, queues: 200}
	for d := range 10 {
		if got := s.count(func(n int) bool { return s.digit(n) == d }); got != 2000 {
			t.Errorf("%d messages of the digit %d, want 2000", got, d)
		}
		domain := senderDomain(d)
		if got := s.count(func(n int) bool { return address(s.sender(n)).Domain == domain }); got != 2000 {
			t.Errorf("%d messages from %s, want 2000", got, domain)
		}
	}
	if got := s.count(func(n int) bool { return s.sender(n) == someone(1) }); got < 19 || got > 21 {
		t.Errorf("%d messages of a sender, want some 20", got)
	}
	if got := s.count(func(n int) bool { return len(s.letter(n).Facts) > 0 }); got != 12_000 {
		t.Errorf("%d messages have errors of their own, want 12000", got)
	}
	big := stock{messages: 1_000_000, queues: 10_000, made: time.Now()}
	for n, want := range map[int]time.Duration{0: ages, 500_000: ages / 2, 999_999: 0} {
		if got := big.made.Sub(big.letter(n).Envelope.Submitted); (got - want).Abs() > time.Second {
			t.Errorf("message %d of a million is %v old, want %v", n, got, want)
		}
	}
	if l := s.letter(7); len(l.Text) < least || len(l.Text) > most {
		t.Errorf("a text of %d bytes, want %d to %d", len(l.Text), least, most)
	}
}

func TestCheckRefuses(t *testing.T) {
	good := options{only: []string{"lists"}, messages: 2000, queues: 50, rounds: 1, channels: 1, seconds: 1}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*options){
		"there are memory, lists": func(o *options) { o.only = []string{"all"} },
		"1 to 3 can be":           func(o *options) { o.rounds = 4 },
		"in tens":                 func(o *options) { o.queues = 55 },
		"is the least":            func(o *options) { o.messages = 999 },
		"no channels":             func(o *options) { o.channels = 0 },
		"no time":                 func(o *options) { o.seconds = 0 },
	} {
		o := good
		change(&o)
		if err := o.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check of %+v = %v, want %q in it", o, err, want)
		}
	}
}
