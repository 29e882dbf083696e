package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

// A printer interrupts its reader when something was printed that many times.
type printer struct {
	said   bytes.Buffer
	piece  string
	many   int
	enough context.CancelFunc
}

func (p *printer) Write(b []byte) (int, error) {
	n, err := p.said.Write(b)
	if strings.Count(p.said.String(), p.piece) >= p.many {
		p.enough()
	}
	return n, err
}

// watching runs a command until it has printed a piece three times.
func watching(t *testing.T, d *daemon, set func(*app), piece string, args ...string) (out, errOut string, status int) {
	t.Helper()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	p := &printer{piece: piece, many: 3, enough: enough}
	var e bytes.Buffer
	a := &app{in: strings.NewReader(""), out: p, errOut: &e, now: func() time.Time { return now }, base: d.serve(t)}
	if set != nil {
		set(a)
	}
	status = a.run(ctx, args)
	return p.said.String(), e.String(), status
}

func TestWatchPrintsAgain(t *testing.T) {
	d := full()
	d.queues = d.queues[:1]
	for form, want := range map[string]string{
		formTable: "QUEUE\nann@example.org\n--- 2026-11-23 12:00:00\nQUEUE\nann@example.org\n--- 2026-11-23 12:00:00\nQUEUE\nann@example.org\n",
		formLines: strings.Repeat("{\"queue\":\"ann@example.org\"}\n", 3),
		formYAML:  "- queue: ann@example.org\n---\n- queue: ann@example.org\n---\n- queue: ann@example.org\n",
		formName:  "LOCAL ann@example.org\n\nLOCAL ann@example.org\n\nLOCAL ann@example.org\n",
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			out, errOut, status := watching(t, d, nil, "ann@example.org", "queue", "list", "--watch=1s", "--columns", "queue", "-o", form)
			if out != want || errOut != "" || status != exitDone {
				t.Errorf("got %q, %q, status %d; want %q", out, errOut, status, want)
			}
		})
	}
}

func TestWatchRedrawsATerminal(t *testing.T) {
	t.Parallel()
	d := full()
	for range 30 {
		d.queues = append(d.queues, control.QueueRow{Module: "SMTP", Queue: hostile})
	}
	set := func(a *app) { a.width, a.redraw, a.resize = 80, true, func() (int, int) { return 60, 10 } }
	out, _, status := watching(t, d, set, "every 1s", "queue", "list", "--watch=1s")
	frames := strings.Split(out, "\x1b[H")
	if len(frames) != 4 || frames[0] != "\x1b[2J" || status != exitDone {
		t.Fatalf("%d frames, status %d: %q", len(frames), status, out)
	}
	for _, f := range frames[1:] {
		lines := strings.Split(strings.TrimSuffix(f, "\x1b[K\n\x1b[J"), "\x1b[K\n")
		if len(lines) != 9 || lines[8] != "… and 28 lines more" || !strings.HasPrefix(lines[0], "every 1s: cgq queue list") {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		for _, line := range lines {
			if strings.ContainsFunc(line, unsafe) {
				t.Errorf("raw: %q", line)
			}
		}
	}
}

// A daemon that goes away while somebody watches may come back.
func TestWatchGoesOnWithoutADaemon(t *testing.T) {
	t.Parallel()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var out, errOut bytes.Buffer
	a := &app{out: &out, errOut: &errOut, now: time.Now}
	cmd := newRoot(a)
	cmd.SetContext(ctx)
	turns := 0
	err := a.watch(cmd, time.Millisecond, func() error {
		switch turns++; turns {
		case 2:
			return control.ErrNoDaemon
		case 4:
			enough()
		}
		return nil
	})
	if err != nil || !strings.Contains(errOut.String(), "cgq: no daemon") || turns != 4 {
		t.Errorf("%v after %d turns, stderr %q", err, turns, errOut.String())
	}
}
