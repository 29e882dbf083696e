package cli

import (
	"strings"
	"testing"
	"time"

	"cgq/pkg/bounce"
	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// greylisted is a daemon with a host queue of a very long name, whose host greylists: the
// messages wait, the queue does not.
func greylisted() *daemon {
	d := full()
	d.queues = append(d.queues, control.QueueRow{Module: "SMTP", State: control.Ready, Messages: 13, Recipients: 50, Bytes: 5,
		Queue:  "a-really-quite-long-name-of-a-department.of-a-subsidiary.of-a-holding-company.example",
		Oldest: now.Add(-time.Hour), NextAttempt: now.Add(time.Minute), MessageAttempts: 3, MessageError: "450 4.7.1 greylisted, come back"})
	return d
}

func TestAHostThatGreylistsHasItsErrorInTheList(t *testing.T) {
	base := greylisted().serve(t)
	for args, want := range map[string]string{
		"queue list --no-headers --columns state,attempts,last_error": "suspended  3  450 4.7.1 greylisted, come back",
		"queue list -o csv --columns state,attempts,last_error":       "ready,0,",
		"queue list -o csv --columns message_attempts,message_error":  `3,"450 4.7.1 greylisted, come back"`,
	} {
		got := cgq(t, base, nil, strings.Fields(args)...)
		if lines := strings.Split(strings.TrimSpace(got.out), "\n"); got.status != exitDone || lines[len(lines)-1] != want {
			t.Errorf("cgq %s: %+v, want last %q", args, got, want)
		}
	}
}

// No line of a list may be longer than the terminal: one that wraps destroys all columns.
func TestListsFitNarrowTerminals(t *testing.T) {
	base := greylisted().serve(t)
	for _, width := range []int{80, 100, 120, 200} {
		for _, what := range []string{"queue list", "queue show SMTP example.com", "message list", "message show 4711", "queue shape",
			"settings list", "hold list", "trash list"} {
			got := cgq(t, base, func(a *app) { a.width = width }, strings.Fields(what)...)
			for line := range strings.Lines(got.out) {
				head := strings.Contains(line, ":  ") // lines above the table are whole
				if n := screen.Width(strings.TrimRight(line, " \n")); n > width && !head {
					t.Errorf("cgq %s at %d: %d columns: %s", what, width, n, line)
				}
			}
		}
	}
	got := cgq(t, base, func(a *app) { a.width = 80 }, "queue", "list")
	if want := "a-really-…ny.example"; !strings.Contains(got.out, want) || !strings.Contains(got.out, "450 4.7.1 gre") {
		t.Errorf("no %q, or no error, in\n%s", want, got.out)
	}
}

// The page says in words what the error means, and on a terminal what to type next.
func TestExplanationsSayWhatToDo(t *testing.T) {
	base := full().serve(t)
	got := cgq(t, base, func(a *app) { a.width, a.bars = 80, true }, "queue", "explain", "SMTP", "example.com")
	for _, want := range []string{"greylisted: the host takes it at one of the next attempts", "full: only its owner"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	for _, want := range []string{"cgq hold list", "cgq queue release SMTP example.com --wait", "cgq queue reject SMTP example.com --text WHY"} {
		if !strings.Contains(got.errOut, want) {
			t.Errorf("no %q in\n%s", want, got.errOut)
		}
	}
	for line := range strings.Lines(got.out + got.errOut) {
		if screen.Width(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("longer than the terminal: %s", line)
		}
	}
	if got := cgq(t, base, nil, "queue", "explain", "SMTP", "example.com"); got.errOut != "" {
		t.Errorf("without a terminal: %q", got.errOut)
	}
}

// There is advice for every class that says anything, and for no other.
func TestEveryClassOfErrorsHasAdvice(t *testing.T) {
	for _, c := range bounce.Classes() {
		if advised := advice[string(c)] != ""; advised == (c == bounce.Expired || c == bounce.Other) {
			t.Errorf("class %s: advised %v", c, advised)
		}
	}
	if want := len(bounce.Classes()) - 2; len(advice) != want {
		t.Errorf("advice for %d classes, want %d", len(advice), want)
	}
}

// What is shown to be copied means the same to a shell, whatever a stranger has called it.
func TestHintsAreQuotedForTheShell(t *testing.T) {
	for in, want := range map[string]string{"example.com": "example.com", "bücher.example": "bücher.example", "$(reboot)": "'$(reboot)'",
		"a b@x": "'a b@x'", "it's": `'it'\''s'`, "": "''", "\x1b": `'\x1b'`} {
		if got := word(in); got != want {
			t.Errorf("word(%q) = %s, want %s", in, got, want)
		}
	}
}

// Below a list a terminal shows its sum; what is piped is data alone.
func TestListsHaveASumOnATerminal(t *testing.T) {
	base := greylisted().serve(t)
	terminal := func(a *app) { a.width, a.bars = 120, true }
	for line, want := range map[string]string{
		"queue list": "\n4 host queues: 1 active, 1 suspended, 1 delayed, 1 held; 1034 recipients\n" +
			"why: cgq queue explain SMTP example.com\n",
		"message list":       "\n2 messages, 3 recipients, 4.2K\n",
		"queue list -o json": "",
	} {
		if got := cgq(t, base, terminal, strings.Fields(line)...); got.errOut != want {
			t.Errorf("cgq %s: %q, want %q", line, got.errOut, want)
		}
	}
	if got := cgq(t, base, nil, "queue", "list"); got.errOut != "" || !strings.Contains(got.out, "held: disk move") {
		t.Errorf("piped: %+v", got)
	}
}

// On a narrow terminal the ages that nothing has make way for the errors.
func TestShapesKeepRoomForNames(t *testing.T) {
	d := full()
	d.shapes = []control.ShapeRow{{Name: "421 4.3.2 all ports are busy, come back", Total: 3, Ages: []int{0, 0, 3, 0, 0, 0, 0, 0, 0, 0}, Class: "rate"},
		{Total: 3, Ages: []int{0, 0, 3, 0, 0, 0, 0, 0, 0, 0}}}
	base := d.serve(t)
	got := cgq(t, base, func(a *app) { a.width = 80 }, "queue", "shape")
	if !strings.Contains(got.out, "421 4.3.2 all ports are busy, come back") || !strings.Contains(got.out, "T  20") || strings.Contains(got.out, "1280+") {
		t.Errorf("no room for the name in\n%s", got.out)
	}
	if wide := cgq(t, base, func(a *app) { a.width = 120 }, "queue", "shape"); !strings.Contains(wide.out, "1280+") {
		t.Errorf("ages are missing in\n%s", wide.out)
	}
}

// The page of a message says how long it is tried, and on a terminal what to type next.
func TestAMessageSaysWhenItExpires(t *testing.T) {
	d := full()
	d.page.Expires = now.Add(3 * 24 * time.Hour)
	got := cgq(t, d.serve(t), func(a *app) { a.width, a.bars = 120, true }, "message", "show", "[4711]")
	if want := "Expires:      2026-11-26 12:00:00, in 3d00h: a failure from then on is its last\n"; !strings.Contains(got.out, want) {
		t.Errorf("no %q in\n%s", want, got.out)
	}
	if !strings.Contains(got.errOut, "cgq message trace 4711 ") || !strings.Contains(got.errOut, "cgq message release 4711 ") {
		t.Errorf("no word of what to do in %q", got.errOut)
	}
}

// The page of an explanation fits a terminal of 80 columns; attempts that came to the same are one.
func TestAnExplanationFits(t *testing.T) {
	d := full()
	got := cgq(t, d.serve(t), func(a *app) { a.width = 80 }, "queue", "explain", "SMTP", "example.com")
	for line := range strings.Lines(got.out) {
		if n := len([]rune(strings.TrimRight(line, " \n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if n := strings.Count(got.out, "  192.0.2.1:25\n"); n != 1 || !strings.Contains(got.out, "(2 times so") {
		t.Errorf("%d times 192.0.2.1:25 in\n%s", n, got.out)
	}
}

// A daemon that says nothing of hosts, as one of an older version, is shown without them.
func TestAnExplanationWithoutHosts(t *testing.T) {
	d := full()
	e := &d.explained
	e.Way, e.Hosts, e.NoHosts, e.TLS, e.Connections, e.Tries, e.TriesSince, e.Notes = "", nil, "", "", nil, nil, time.Time{}, nil
	base := d.serve(t)
	if got := cgq(t, base, nil, "queue", "explain", "SMTP", "example.com"); strings.Contains(got.out, "Where") || strings.Contains(got.out, "Last attempts") {
		t.Errorf("something of hosts in\n%s", got.out)
	}
	if got := cgq(t, base, nil, "queue", "explain", "SMTP", "example.com", "-o", "json"); !strings.Contains(got.out, `"hosts":[],"tries":[],"notes":[]`) {
		t.Errorf("no empty lists in %s", got.out)
	}
}

// Each way and each outcome has its words.
func TestWordsOfWaysAndTries(t *testing.T) {
	for want, e := range map[string]control.Explanation{
		"to the mail exchangers (MX) of its domain":                                {Way: "mx", Queue: "a.test", Hosts: make([]control.HostRow, 1)},
		"to the mail exchangers (MX) of its domain, in this order":                 {Way: "mx", Hosts: make([]control.HostRow, 2)},
		"to the domain itself: the DNS names no other mail exchanger (MX)":         {Way: "mx", Queue: "a.test", Hosts: []control.HostRow{{Host: "a.test"}}},
		"to the mail exchangers (MX) of its domain, but: the domain takes no mail": {Way: "mx", NoHosts: "the domain takes no mail"},
		"to the relay that smtp.send.relay names":                                  {Way: "relay"},
		"to the network address that the queue is named by":                        {Way: "address"},
		"to the host and port that the Router table names":                         {Way: "router"},
		"by pigeon": {Way: "by pigeon"},
	} {
		if got := wayWords(e); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
	for want, try := range map[string]control.TryRow{
		"the session is open, nothing was transferred yet":                     {Outcome: "connected", Open: true, Step: "ehlo"},
		"the session ended after the greeting, nothing was transferred":        {Outcome: "connected", Step: "greeting"},
		"1 message sent: 250 ok":                                               {Outcome: "sent", Messages: 1, Reply: "250 ok", Step: "end-of-data"},
		"no address: gone":                                                     {Outcome: "failed", Step: "dns", Reply: "gone"},
		"no connection after 30s: time-out":                                    {Outcome: "failed", Step: "connect", Reply: "time-out", Took: 30},
		"broken at the end of the text: EOF":                                   {Outcome: "failed", Step: "end-of-data", Reply: "EOF"},
		"refused at RCPT, 2 messages sent, the last of 3 refusals: 550 nobody": {Outcome: "refused", Step: "rcpt", Reply: "550 nobody", Messages: 2, Refusals: 3},
		"odd at starttls: 454 no":                                              {Outcome: "odd", Step: "starttls", Reply: "454 no"},
	} {
		if got := tryWords(try); got != want {
			t.Errorf("%+v: %q, want %q", try, got, want)
		}
	}
}
