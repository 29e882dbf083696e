package cli

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

func (d *daemon) handleLogs(m *control.Mux) {
	supplement := func(name string) control.StreamFunc[control.LogQuery, control.LogLine] {
		return func(_ context.Context, _ control.Actor, in control.LogQuery) iter.Seq2[control.LogLine, error] {
			d.logs, d.logged = in, name
			return stream([]control.LogLine{{Time: now, Level: 2, Tag: name, Line: "12:00:00.000 2 " + name + " \x1b[2J"}}, d.err)
		}
	}
	control.HandleRows(m, control.LogEmails, supplement("EMAILS"))
	control.HandleRows(m, control.LogAudit, supplement("AUDIT"))
	control.Handle(m, control.Whoami, func(context.Context, control.Actor, control.Nothing) (control.Identity, error) {
		return d.identity, d.err
	})
	levels := []control.LogLevel{
		{Tag: "DEQUEUER", Level: 3, Name: "Problems", Settings: 3},
		{Tag: "ENQUEUER", Level: 5, Name: "All Info", Settings: 3, ByHand: true, Until: now.Add(9 * time.Minute)},
		{Tag: "SMTP", Level: 1, Name: "Failures", Settings: 4, ByHand: true},
	}
	control.HandleRows(m, control.LogLevels, func(context.Context, control.Actor, control.Nothing) iter.Seq2[control.LogLevel, error] {
		return stream(levels, d.err)
	})
	control.Handle(m, control.LogLevelSet, func(_ context.Context, _ control.Actor, in control.LogLevelOrder) (control.LogLevel, error) {
		d.levels = append(d.levels, in)
		for _, l := range levels {
			if strings.EqualFold(l.Tag, in.Tag) {
				return l, d.err
			}
		}
		return control.LogLevel{}, control.Errorf(control.KindNoSuchTag, "", "no component %q", in.Tag)
	})
}

func TestSinceInTheLog(t *testing.T) {
	d := full()
	base := d.serve(t)
	for line, want := range map[string]control.LogQuery{
		"log tail --since 10m":                          {Lines: -1, Since: now.Add(-10 * time.Minute)},
		"log tail --since 2d -n 5":                      {Lines: 5, Since: now.Add(-48 * time.Hour)},
		"log tail -n -1":                                {Lines: -1},
		"log emails --since 2026-11-23 --message 7":     {Lines: -1, Since: time.Date(2026, 11, 23, 0, 0, 0, 0, now.Location()), Message: 7},
		"log audit -f --since 2026-11-23T08:00:00Z -n9": {Lines: 9, Since: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Follow: true},
	} {
		got := cgq(t, base, nil, strings.Fields(line)...)
		if !d.logs.Since.Equal(want.Since) || got.status != exitDone {
			t.Errorf("%s: asked %+v, want %+v (%+v)", line, d.logs, want, got)
		}
		d.logs.Since, want.Since = time.Time{}, time.Time{}
		if !reflect.DeepEqual(d.logs, want) {
			t.Errorf("%s: asked %+v, want %+v", line, d.logs, want)
		}
	}
	for _, line := range []string{"log tail --since yesterday", "log tail -n -2", "log audit --message 7", "log audit --tag X", "log emails --since 10",
		"log level X", "log level SMTP 6", "log level SMTP loud", "log level --for 10m", "log level SMTP --for 10m", "log level SMTP 5 --reset", "log level --reset",
		"log level SMTP 5 --for 0s", "log level SMTP 5 --for 90d", "log level SMTP 5 6"} {
		want := exitUsage
		if line == "log level X" {
			want = exitFailed
		}
		if got := cgq(t, base, nil, strings.Fields(line)...); got.status != want || got.out != "" {
			t.Errorf("%s: %+v, want status %d", line, got, want)
		}
	}
	if len(d.levels) != 0 {
		t.Errorf("levels were set: %+v", d.levels)
	}
}

func TestLogLevel(t *testing.T) {
	d := full()
	base := d.serve(t)
	for _, tt := range []struct {
		line, want string
		order      control.LogLevelOrder
	}{
		{"log level enqueuer 5 --for 10m", "ENQUEUER writes level 5, All Info until 2026-11-23 12:09:00, then 3 again\n",
			control.LogLevelOrder{Tag: "enqueuer", Level: 5, For: control.Seconds(10 * time.Minute)}},
		{"log level SMTP 1", "SMTP writes level 1, Failures until a restart, or another level in log.toml\n", control.LogLevelOrder{Tag: "SMTP", Level: 1}},
		{"log level DEQUEUER --reset", "DEQUEUER writes level 3, Problems, as the settings say\n", control.LogLevelOrder{Tag: "DEQUEUER", Reset: true}},
	} {
		d.levels = nil
		got := cgq(t, base, nil, strings.Fields(tt.line)...)
		if got.out != tt.want || len(d.levels) != 1 || d.levels[0] != tt.order {
			t.Errorf("%s: %+v, asked %+v", tt.line, got, d.levels)
		}
	}
	if got := cgq(t, base, nil, "log", "level", "smtp", "-o", "name"); got.out != "SMTP\n" {
		t.Errorf("%+v", got)
	}
	if got := cgq(t, base, nil, "__complete", "log", "level", ""); !strings.HasPrefix(got.out, "DEQUEUER\t3 Problems\nENQUEUER\t5 All Info\n") {
		t.Errorf("completion: %+v", got)
	}
	if got := cgq(t, base, nil, "__complete", "log", "tail", "--tag", "S"); !strings.HasPrefix(got.out, "SMTP\t1 Failures\n") {
		t.Errorf("completion: %+v", got)
	}
}
