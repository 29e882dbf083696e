package admin_test

import (
	"log/slog"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/serverlog"
)

// The supplementary logs are read as the Server Log is.
func TestSupplementaryLogs(t *testing.T) {
	h := newHouse(t)
	h.emails.Logger("EMAILS").Log(t.Context(), serverlog.Major, "SMTP from <a@a.example> failed", "id", 7)
	h.emails.Logger("EMAILS").Log(t.Context(), serverlog.Major, "SMTP from <b@a.example> relayed", "id", 8)
	h.log.Logger("AUDIT").Log(t.Context(), serverlog.Major, "act 1: release by ann")
	got := all(t, control.LogEmails.Do(t.Context(), h.client, control.LogQuery{Lines: -1, Message: 8}))
	if len(got) != 1 || got[0].ID != 8 || !strings.HasSuffix(got[0].Line, " 2 EMAILS [8] SMTP from <b@a.example> relayed") {
		t.Errorf("EMails has %+v", got)
	}
	got = all(t, control.LogAudit.Do(t.Context(), h.client, control.LogQuery{Lines: 1}))
	if len(got) != 1 || !strings.HasSuffix(got[0].Line, " 2 AUDIT act 1: release by ann") {
		t.Errorf("Audit has %+v", got)
	}
}

// A level that is set by hand is said to the Audit log, and goes back by itself.
func TestLogLevels(t *testing.T) {
	h := newHouse(t)
	h.log.SetLevels(serverlog.Problem, map[string]slog.Level{"QUEUE": serverlog.Low})
	queue := h.log.Logger("QUEUE")
	for _, l := range all(t, control.LogLevels.Do(t.Context(), h.client, control.Nothing{})) {
		want := control.LogLevel{Tag: l.Tag, Level: 3, Name: "Problems", Settings: 3}
		if l.Tag == "QUEUE" {
			want = control.LogLevel{Tag: "QUEUE", Level: 4, Name: "Low Level", Settings: 4}
		}
		if l != want {
			t.Errorf("%+v, want %+v", l, want)
		}
	}
	set := func(o control.LogLevelOrder) control.LogLevel {
		t.Helper()
		is, err := control.LogLevelSet.Do(t.Context(), h.client, o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		return is
	}
	is := set(control.LogLevelOrder{Tag: "queue", Level: 5, For: control.Seconds(time.Second)})
	if in := time.Until(is.Until); is.Tag != "QUEUE" || is.Level != 5 || is.Settings != 4 || !is.ByHand || in < 0 || in > time.Second ||
		!queue.Enabled(t.Context(), serverlog.All) {
		t.Errorf("set for a second: %+v", is)
	}
	for line, err := range h.log.Tail(t.Context(), serverlog.Query{Last: -1, Follow: true, Components: []string{"ADMIN"}}) {
		if err != nil || line.Text == "log level of QUEUE back at 4, set_by="+me(t) {
			break
		}
	}
	if queue.Enabled(t.Context(), serverlog.All) || !queue.Enabled(t.Context(), serverlog.Low) {
		t.Error("the level has not gone back")
	}
	if is := set(control.LogLevelOrder{Tag: "QUEUE", Level: 0}); is.Level != 0 || !is.ByHand || !is.Until.IsZero() {
		t.Errorf("set: %+v", is)
	}
	if is := set(control.LogLevelOrder{Tag: "QUEUE", Reset: true}); is.Level != 4 || is.ByHand {
		t.Errorf("reset: %+v", is)
	}
	audit := strings.Join(h.texts(t, control.LogQuery{Lines: -1, Tags: []string{"AUDIT"}}), " ")
	if strings.Count(audit, "was=") != 2 || strings.Count(audit, "until=") != 1 {
		t.Errorf("the Audit log ends in %q", audit)
	}
	_, err := control.LogLevelSet.Do(t.Context(), h.client, control.LogLevelOrder{Tag: "NOBODY", Level: 5})
	refused(t, "an unknown tag", err, control.KindNoSuchTag)
	for _, o := range []control.LogLevelOrder{{Level: 5}, {Tag: "QUEUE", Level: 6}, {Tag: "QUEUE", Level: -1}, {Tag: "QUEUE", For: -1e9},
		{Tag: "QUEUE", For: control.Seconds(control.MaxLevelTime + time.Second)}, {Tag: "QUEUE", Level: 5, Reset: true}} {
		_, err := control.LogLevelSet.Do(t.Context(), h.client, o)
		refused(t, "a level", err, control.KindBadRequest)
	}
}

// me is who runs the test.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// Accounts that are made and deleted are in the Audit log.
func TestAccountsAreAudited(t *testing.T) {
	h := newHouse(t)
	made, err := control.AccountCreate.Do(t.Context(), h.client, control.Account{Address: "ann@a.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if _, err := control.AccountDelete.Do(t.Context(), h.client, control.AccountAct{Address: made.Address, DryRun: dry}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, l := range all(t, control.LogAudit.Do(t.Context(), h.client, control.LogQuery{Lines: -1, Tags: []string{"AUDIT"}})) {
		_, text, _ := strings.Cut(l.Line, "AUDIT ")
		text, _, _ = strings.Cut(text, ",")
		got = append(got, text)
	}
	if want := []string{"account ann@a.example created by " + me(t), "account ann@a.example deleted by " + me(t)}; !slices.Equal(got, want) {
		t.Errorf("Audit has %q, want %q", got, want)
	}
}
