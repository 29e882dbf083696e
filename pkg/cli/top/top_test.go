package top

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

var update = flag.Bool("update", false, "write the golden files")

// start is when the tests begin.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hostile is what a stranger may put into a reply: commands for a terminal, what turns a
// line around, wide and combining characters, emoji that terminals draw differently.
const hostile = "451 \x1b]0;owned\x07\x1b[2Jgrey\nlisted\u202egnp.exe\u009b31m \xff|\u200b 日本語 e\u0301 " +
	"👩\u200d🚒 🇩🇪 👍🏽 \u0301 Z\u0351\u0352\u0353\u0354\u0355 ©\ufe0f"

// A scene is a model with its user, and what it has asked for.
type scene struct {
	t     *testing.T
	m     *model
	now   time.Time
	ran   []string                   // the command lines
	reply func(args []string) Answer // to them
	later []tea.Cmd                  // that were not run yet
}

func newScene(t *testing.T, width, height int) *scene {
	s := &scene{t: t, now: start, reply: func([]string) Answer { return Answer{Text: "done\n"} }}
	s.m = newModel(t.Context(), Options{Interval: time.Second, Now: func() time.Time { return s.now },
		Explain: func(err error) string { return err.Error() },
		Command: func(_ context.Context, _ int, args ...string) Answer {
			s.ran = append(s.ran, strings.Join(args, " "))
			return s.reply(args)
		}})
	s.send(tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

// send gives the model a message. Commands that it asks for are run, looks apart.
func (s *scene) send(msg tea.Msg) {
	_, cmd := s.m.Update(msg)
	s.do(cmd)
}

func (s *scene) do(cmd tea.Cmd) {
	if cmd == nil || s.m.running == "" {
		if cmd != nil {
			s.later = append(s.later, cmd)
		}
		return
	}
	if msg, ok := cmd().(answer); ok {
		s.send(msg)
	}
}

// keys presses keys: names such as enter, or texts.
func (s *scene) keys(keys ...string) *scene {
	special := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "down": tea.KeyDown, "up": tea.KeyUp,
		"pgdown": tea.KeyPgDown, "end": tea.KeyEnd, "home": tea.KeyHome, "backspace": tea.KeyBackspace}
	for _, k := range keys {
		if code, ok := special[k]; ok {
			s.send(tea.KeyPressMsg{Code: code})
			continue
		}
		for _, r := range k {
			s.send(tea.KeyPressMsg{Code: r, Text: string(r)})
		}
	}
	return s
}

// draw is the screen without its attributes. Each line has to fit.
func (s *scene) draw() string {
	s.t.Helper()
	lines := strings.Split(ansi.Strip(s.m.View().Content), "\n")
	if len(lines) != s.m.height {
		s.t.Errorf("%d lines on a screen of %d", len(lines), s.m.height)
	}
	for i, line := range lines {
		if n := screen.Width(line); n > s.m.width {
			s.t.Errorf("line %d has %d columns of %d: %q", i, n, s.m.width, line)
		}
		if n := ansi.StringWidth(line); n != screen.Width(line) {
			s.t.Errorf("line %d: %d columns, bubbletea counts %d: %q", i, screen.Width(line), n, line)
		}
		if strings.ContainsFunc(line, screen.Unsafe) {
			s.t.Errorf("line %d: something of a stranger is drawn raw: %q", i, line)
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (s *scene) golden(name string) {
	s.t.Helper()
	got, file := s.draw(), filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		s.t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func rows() []control.QueueRow {
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	return []control.QueueRow{
		{Module: "LOCAL", Queue: "ann@example.org", State: control.Active, Messages: 1, Recipients: 1, Oldest: ago(2 * time.Second)},
		{Module: "SMTP", Queue: "bücher.example", State: control.Held, Messages: 3, Recipients: 3,
			Oldest: ago(26 * time.Hour), Attempts: 2, Hold: "disk \x1b[2Jmove"},
		{Module: "SMTP", Queue: "example.com", State: control.Delayed, Messages: 412, Recipients: 980,
			Oldest: ago(3*time.Hour + 12*time.Minute), NextAttempt: start.Add(250 * time.Second), LastError: hostile},
		{Module: "SMTP", Queue: hostile, State: control.Ready, Messages: 2_000_000, Recipients: 3_000_000, Oldest: ago(time.Minute)},
		{Module: "SMTP", Queue: "日本語の長い長い長い長い長い長い名前.example", State: control.Delayed, Messages: 7, Recipients: 7,
			Oldest: ago(time.Hour), NextAttempt: start.Add(time.Hour), LastError: "451 遅延されました、後でもう一度やり直してください"},
	}
}

// looked gives the model a look at the daemon as time goes on.
func (s *scene) look(elements map[string]int64, rows []control.QueueRow, err error) {
	s.send(look{at: s.now, elements: elements, queues: rows, err: err,
		daemon: control.Daemon{Version: "1.2.3", PID: 4242, State: "running", Domain: "example.org",
			Uptime: control.Seconds(90*time.Minute + s.now.Sub(start))}})
}

// minutes lets two of them go by, with mail that comes in waves and goes out.
func (s *scene) minutes() {
	in := int64(0)
	for i := range 121 {
		s.now = start.Add(time.Duration(i) * time.Second)
		in += int64(i / 10 % 4)
		s.look(map[string]int64{elementQueued: int64(416 + i), elementIn: in, elementOut: 2 * int64(i), elementOutNow: 3}, rows(), nil)
	}
}

func TestScreens(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}, {50, 12}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			name := func(s string) string { return fmt.Sprintf("%s-%dx%d", s, size[0], size[1]) }
			s := newScene(t, size[0], size[1])
			s.golden(name("nothing"))
			s.minutes()
			s.golden(name("size"))
			s.keys("e", "down").golden(name("error"))
			s.reply = func([]string) Answer {
				return Answer{Text: "Queue:  " + screen.Safe(hostile) + "\nWhy:    " + strings.Repeat("it is slow ", 30) + "\n"}
			}
			s.keys("x").golden(name("explain"))
			s.keys("esc", "?").golden(name("help"))
			s.keys("esc", "n", "R", "it's "+"closed").golden(name("text"))
			s.reply = func([]string) Answer {
				return Answer{Text: "would have rejected 980 of 980 recipients in 412 messages\n"}
			}
			s.keys("enter").golden(name("confirm"))
			s.keys("esc", "/", "BÜCH").golden(name("filter"))
			s.keys("enter")
			s.look(nil, nil, fmt.Errorf("no daemon at %s", hostile))
			s.golden(name("lost"))
		})
	}
}

func TestWhatTheKeysRun(t *testing.T) {
	example := func() *scene { // with SMTP(example.com) selected
		s := newScene(t, 80, 24)
		s.look(map[string]int64{}, rows(), nil)
		return s.keys("s", "down")
	}
	for _, tt := range []struct {
		name string
		keys []string
		ran  []string
	}{
		{"explain", []string{"x"}, []string{"queue explain -- SMTP example.com"}},
		{"release", []string{"r"}, []string{"queue release -- SMTP example.com"}},
		{"hold", []string{"h", "it moves", "enter"},
			[]string{"hold add --module SMTP --queue example.com --yes --reason=it moves"}},
		{"hold without a reason", []string{"h", " ", "enter"}, nil},
		{"hold not wanted", []string{"h", "it moves", "esc"}, nil},
		{"reject", []string{"R", "closed", "enter", "yes", "enter"}, []string{
			"queue reject --dry-run --text=closed -- SMTP example.com", "queue reject --yes --text=closed -- SMTP example.com"}},
		{"reject, y is not yes", []string{"d", "closed", "enter", "y", "enter"},
			[]string{"queue reject --dry-run --text=closed -- SMTP example.com"}},
		{"reject not wanted", []string{"d", "closed", "enter", "esc", "yes", "enter", "esc"},
			[]string{"queue reject --dry-run --text=closed -- SMTP example.com", "queue explain -- SMTP example.com"}},
		{"reject without a text", []string{"R", "enter"}, nil},
		{"a text is corrected", []string{"R", "cloo", "backspace", "sed", "enter"},
			[]string{"queue reject --dry-run --text=closed -- SMTP example.com"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := example().keys(tt.keys...)
			if !slices.Equal(s.ran, tt.ran) {
				t.Errorf("ran %q, want %q", s.ran, tt.ran)
			}
		})
	}
}

// A name that looks like a flag or a pattern is a name.
func TestNamesThatMeanSomethingElse(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, []control.QueueRow{{Module: "SMTP", Queue: "~*"}, {Module: "SMTP", Queue: "--all", Messages: 1}}, nil)
	s.keys("r", "down", "h", "x", "enter")
	want := []string{"queue release -- SMTP --all", `hold add --module SMTP --queue ~^~\*$ --yes --reason=x`}
	if !slices.Equal(s.ran, want) {
		t.Errorf("ran %q, want %q", s.ran, want)
	}
}

func TestARefusalIsShown(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, rows(), nil)
	s.reply = func([]string) Answer { return Answer{Text: "no right reject; ask root\n", Failed: true} }
	for _, keys := range [][]string{{"r"}, {"x"}, {"m"}, {"u"}, {"R", "a", "enter"}, {"h", "a", "enter"}} {
		s.keys(keys...)
		if got := s.draw(); !strings.Contains(got, "\n! no right reject; ask root\n") || s.m.prompt != nil || s.m.page != nil {
			t.Errorf("after %q:\n%s", keys, got)
		}
	}
}

func TestMessagesAndTheirLives(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, rows(), nil)
	s.reply = func(args []string) Answer {
		if args[1] == "trace" {
			return Answer{Text: "submitted\n" + screen.Safe(hostile) + "\n"}
		}
		var b strings.Builder
		b.WriteString("  ID  AGE  RETURN PATH\n")
		for i := range 30 {
			fmt.Fprintf(&b, "%4d  2s   %s\n", i+1, screen.Safe(hostile))
		}
		return Answer{Text: b.String()}
	}
	s.keys("n", "home", "m", "end").golden("messages-80x24")
	s.keys("up", "enter").golden("trace-80x24")
	want := []string{"message list --limit 1000 --module LOCAL --queue ann@example.org --columns " +
		"id,submitted,state,return_path,bytes,recipients,attempts,last_error", "message trace 29"}
	if !slices.Equal(s.ran, want) {
		t.Errorf("ran %q, want %q", s.ran, want)
	}
}

// The queue that is selected stays so wherever it moves: nobody acts on another one.
func TestTheSelectionFollowsItsQueue(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, rows(), nil)
	s.keys("n", "down", "down")
	was, _ := s.m.list.selected()
	for range 3 {
		s.keys("s")
		later := rows()
		later[2].Messages = 5_000_000
		s.look(map[string]int64{}, later, nil)
		s.keys("a", "e", "/", "exam", "enter", "esc")
	}
	if now, _ := s.m.list.selected(); key(now) != key(was) {
		t.Errorf("selected %v, then %v", key(was), key(now))
	}
	s.look(map[string]int64{}, nil, nil)
	if got := s.keys("x", "r", "R", "m").draw(); len(s.ran) != 0 || !strings.Contains(got, "no host queues") {
		t.Errorf("without queues it ran %q:\n%s", s.ran, got)
	}
}

func TestWhileACommandRuns(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, rows(), nil)
	first := s.m.pressed(tea.KeyPressMsg{Code: 'r', Text: "r"})
	s.now = s.now.Add(3 * time.Second)
	if got := s.draw(); !strings.Contains(got, "… 3s  cgq queue release -- SMTP") {
		t.Errorf("it does not say what runs:\n%s", got)
	}
	if cmd := s.m.pressed(tea.KeyPressMsg{Code: 'x', Text: "x"}); cmd != nil {
		t.Error("a second command runs")
	}
	s.send(first())
	if got := s.draw(); !strings.Contains(got, "\ndone\n") {
		t.Errorf("it does not say what was done:\n%s", got)
	}
}

// Only what is visible is drawn: a screen of a million queues is as quick as one of ten.
func BenchmarkView(b *testing.B) {
	for _, n := range []int{10, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newModel(b.Context(), Options{Now: func() time.Time { return start }})
			all := make([]control.QueueRow, n)
			for i := range all {
				all[i] = control.QueueRow{Module: "SMTP", Queue: fmt.Sprintf("d%07d.example", i), Messages: i, LastError: "451 later"}
			}
			m.looked(look{at: start, elements: map[string]int64{}, queues: all, daemon: control.Daemon{PID: 1}})
			for b.Loop() {
				m.View()
			}
		})
	}
}

func TestALookThatIsNotWholeCountsAsFarAsItGoes(t *testing.T) {
	s := newScene(t, 80, 24)
	s.look(map[string]int64{}, rows()[:1], control.Errorf(control.KindIncomplete, "", "the Queue is still being read"))
	if got := s.draw(); !strings.Contains(got, "ann@example.org") || !strings.Contains(got, "! the Queue is still being read") {
		t.Errorf("got\n%s", got)
	}
	s.look(nil, nil, errors.New("gone"))
	s.now = s.now.Add(4 * time.Second)
	if got := s.draw(); !strings.Contains(got, "ann@example.org") || !strings.Contains(got, "!! this is of 4s ago, trying again: gone") {
		t.Errorf("got\n%s", got)
	}
}

// Whatever is pressed, said and resized in whatever order, each screen fits, and nothing of a
// stranger is raw.
func TestAMonkeyAtTheKeys(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 25))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	s := newScene(t, 80, 24)
	s.reply = func([]string) Answer {
		table := "ID  TEXT\n1   " + screen.Safe(hostile) + "\n2   x\n"
		return Answer{Text: pick("", "\n", "done\n", screen.Safe(hostile)+"\n", table, strings.Repeat(table, 40)), Failed: random.IntN(4) == 0}
	}
	pid := 1
	for step := range 4000 {
		switch random.IntN(6) {
		case 0:
			s.send(tea.WindowSizeMsg{Width: random.IntN(160), Height: random.IntN(40)})
		case 1:
			s.send(look{at: s.now, err: errors.New(hostile)})
			pid += random.IntN(2)
		case 2:
			all := rows()
			s.send(look{at: s.now, daemon: control.Daemon{PID: pid, Domain: hostile, Version: hostile, State: hostile}, queues: all[:random.IntN(len(all)+1)],
				elements: map[string]int64{elementIn: random.Int64(), elementOut: -5, elementQueued: random.Int64()}})
		case 3:
			s.send(tea.PasteMsg{Content: hostile})
		default:
			s.keys(pick("enter", "esc", "down", "up", "pgdown", "end", "home", "backspace", "x", "m", "r", "h", "u", "R", "d", "s", "a", "e", "n", "/", " ", "?", "k", "j", "yes", hostile))
		}
		s.now = s.now.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
		if random.IntN(50) == 0 { // somebody sets the clock
			s.now = s.now.Add(time.Duration(random.IntN(7200)-3600) * time.Second)
		}
		if s.draw(); t.Failed() {
			t.Fatalf("at step %d", step)
		}
	}
}
