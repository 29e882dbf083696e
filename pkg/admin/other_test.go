package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
	"cgq/pkg/serverlog"
)

func TestPing(t *testing.T) {
	h := newHouse(t)
	h.state = "stopping"
	got, err := control.Ping.Do(t.Context(), h.client, control.Nothing{})
	up := got.Uptime.Duration()
	got.Uptime = 0
	want := control.Daemon{Version: "1.2.3", PID: os.Getpid(), Base: h.base, State: "stopping", Domain: "a.example"}
	if err != nil || got != want || up < time.Minute || up > time.Hour {
		t.Errorf("Ping = %+v after %v, %v; want %+v after a minute", got, up, err, want)
	}
}

func TestListeners(t *testing.T) {
	h := newHouse(t)
	got := all(t, control.Listeners.Do(t.Context(), h.client, control.Nothing{}))
	if want := []control.Listener{{Role: "mx", Address: "127.0.0.1:2525"}}; !slices.Equal(got, want) {
		t.Errorf("Listeners = %+v, want %+v", got, want)
	}
}

func TestStat(t *testing.T) {
	h := newHouse(t)
	h.stats.Counter("smtpInputTotal").Add(2)
	h.stats.Gauge("numA", func() int64 { return -1 })
	a := control.Element{Name: "numA", Value: -1, Kind: "level"}
	b := control.Element{Name: "smtpInputTotal", Value: 2, Kind: "total", Doc: "SMTP sessions that others have opened"}
	for _, tt := range []struct {
		names []string
		want  []control.Element
	}{
		{nil, []control.Element{a, b}},
		{[]string{"smtpInputTotal", "numA", "smtpInputTotal"}, []control.Element{b, a, b}},
	} {
		if got := all(t, control.Stat.Do(t.Context(), h.client, control.StatQuery{Names: tt.names})); !slices.Equal(got, tt.want) {
			t.Errorf("Stat of %q = %+v, want %+v", tt.names, got, tt.want)
		}
	}
	for _, name := range []string{"numC", "NUMA", ""} {
		refused(t, "Stat "+name, failure(control.Stat.Do(t.Context(), h.client, control.StatQuery{Names: []string{"numA", name}})), control.KindNoSuchElement)
	}
}

// accounts are the addresses of all Accounts.
func (h *house) accounts(t *testing.T, domains ...string) (addresses []string) {
	t.Helper()
	for _, a := range all(t, control.AccountList.Do(t.Context(), h.client, control.AccountQuery{Domain: domains})) {
		addresses = append(addresses, a.Address)
	}
	return addresses
}

func TestAccounts(t *testing.T) {
	h := newHouse(t)
	for _, a := range []string{"Carl@B.Example", "ann@a.example", "bob@a.example"} {
		got, err := control.AccountCreate.Do(t.Context(), h.client, control.Account{Address: a})
		if err != nil || got.Address != strings.ToLower(a) {
			t.Fatalf("create %s = %+v, %v", a, got, err)
		}
	}
	if i, err := os.Stat(filepath.Join(h.base, "Domains/a.example/ann/Maildir/new")); err != nil || !i.IsDir() {
		t.Errorf("no Maildir: %v", err)
	}
	for _, tt := range []struct {
		domains, want []string
	}{
		{nil, []string{"ann@a.example", "bob@a.example", "carl@b.example"}},
		{[]string{"A.example"}, []string{"ann@a.example", "bob@a.example"}},
		{[]string{"b.example", "a.example"}, []string{"ann@a.example", "bob@a.example", "carl@b.example"}},
	} {
		if got := h.accounts(t, tt.domains...); !slices.Equal(got, tt.want) {
			t.Errorf("list of %q = %q, want %q", tt.domains, got, tt.want)
		}
	}
	refused(t, "list", failure(control.AccountList.Do(t.Context(), h.client, control.AccountQuery{Domain: []string{"a.example", "c.example"}})), control.KindNoSuchDomain)
	for address, kind := range map[string]control.Kind{
		"ANN@a.example": control.KindExists, "dora@c.example": control.KindNoSuchDomain, "dora": control.KindBadRequest,
		"": control.KindBadRequest, "<dora@a.example>": control.KindBadRequest, "../x@a.example": control.KindBadRequest,
		`"a/b"@a.example`: control.KindBadRequest, ".x@a.example": control.KindBadRequest, "é@a.example": control.KindBadRequest,
		"x@../a.example": control.KindBadRequest, "a@b@a.example": control.KindBadRequest,
	} {
		_, err := control.AccountCreate.Do(t.Context(), h.client, control.Account{Address: address})
		refused(t, "create "+address, err, kind)
	}
	if got := h.accounts(t); len(got) != 3 {
		t.Errorf("accounts %q, want the three", got)
	}
}

func TestAccountDelete(t *testing.T) {
	h := newHouse(t)
	for _, a := range []string{"ann@a.example", "bob@a.example"} {
		if _, err := control.AccountCreate.Do(t.Context(), h.client, control.Account{Address: a}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"new/1", "cur/2:2,S"} {
		if err := os.WriteFile(filepath.Join(h.base, "Domains/a.example/ann/Maildir", name), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		address string
		dry     bool
		stored  int
		left    int
	}{{"ann@a.example", true, 2, 2}, {"Ann@A.example", false, 2, 1}, {"bob@a.example", false, 0, 0}} {
		got, err := control.AccountDelete.Do(t.Context(), h.client, control.AccountAct{Address: tt.address, DryRun: tt.dry})
		if err != nil || got.Matched != 1 || got.Changed != 1 || got.Messages != tt.stored {
			t.Errorf("delete %s, dry %v = %+v, %v; want one with %d messages", tt.address, tt.dry, got, err, tt.stored)
		}
		if left := h.accounts(t); len(left) != tt.left {
			t.Errorf("delete %s, dry %v: %q left, want %d", tt.address, tt.dry, left, tt.left)
		}
	}
	for address, kind := range map[string]control.Kind{"ann@a.example": control.KindNoSuchAccount, "ann@c.example": control.KindNoSuchDomain,
		"../../Settings@a.example": control.KindBadRequest} {
		for _, dry := range []bool{true, false} {
			_, err := control.AccountDelete.Do(t.Context(), h.client, control.AccountAct{Address: address, DryRun: dry})
			refused(t, "delete "+address, err, kind)
		}
	}
}

// texts are the ends of the lines that a query yields.
func (h *house) texts(t *testing.T, q control.LogQuery) (list []string) {
	t.Helper()
	for _, l := range all(t, control.LogTail.Do(t.Context(), h.client, q)) {
		list = append(list, l.Line[strings.LastIndexByte(l.Line, ' ')+1:])
	}
	return list
}

func TestLogTail(t *testing.T) {
	h := newHouse(t)
	queue, dequeuer := h.log.Logger("QUEUE"), h.log.Logger("DEQUEUER")
	serverlog.Session(queue, 0, "[4711]").Log(t.Context(), serverlog.Major, "one")
	dequeuer.Error("two", "id", slog.Uint64Value(4711))
	dequeuer.Warn("three")
	queue.Debug("four")
	dequeuer.Info("five\n00:00:00.000 0 SYSTEM forged")
	level := func(n int) *int { return &n }
	for _, tt := range []struct {
		query control.LogQuery
		want  string
	}{
		{control.LogQuery{Lines: 100}, "one two three four forged"},
		{control.LogQuery{Lines: -1}, "one two three four forged"},
		{control.LogQuery{Lines: -1, Since: time.Now().Add(time.Hour)}, ""},
		{control.LogQuery{Lines: 2, Since: time.Now().Add(-time.Hour)}, "four forged"},
		{control.LogQuery{Lines: 2}, "four forged"},
		{control.LogQuery{Lines: 0}, ""},
		{control.LogQuery{Lines: 100, Tags: []string{"queue"}}, "one four"},
		{control.LogQuery{Lines: 1, Tags: []string{"Queue"}}, "four"},
		{control.LogQuery{Lines: 100, Tags: []string{"QUEUE", "SYSTEM"}}, "one four"},
		{control.LogQuery{Lines: 100, Tags: []string{"ROUTER"}}, ""},
		{control.LogQuery{Lines: 100, Level: level(1)}, "two"},
		{control.LogQuery{Lines: 100, Level: level(3)}, "one two three"},
		{control.LogQuery{Lines: 100, Level: level(0)}, ""},
		{control.LogQuery{Lines: 100, Message: 4711}, "one two"},
		{control.LogQuery{Lines: 100, Message: 4711, Tags: []string{"dequeuer"}, Level: level(2)}, "two"},
		{control.LogQuery{Lines: 100, Message: 471}, ""},
	} {
		if got := strings.Join(h.texts(t, tt.query), " "); got != tt.want {
			t.Errorf("tail of %+v: %q, want %q", tt.query, got, tt.want)
		}
	}
	rows := all(t, control.LogTail.Do(t.Context(), h.client, control.LogQuery{Lines: 100}))
	if l := rows[0]; l.Tag != "QUEUE" || l.Level != 2 || l.ID != 4711 || !strings.HasSuffix(l.Line, " 2 QUEUE([4711]) one") || time.Since(l.Time) > time.Hour {
		t.Errorf("the first line is %+v", l)
	}
	for _, q := range []control.LogQuery{{Lines: -2}, {Lines: control.MaxLogLines + 1}, {Lines: 1, Level: level(6)}, {Lines: 1, Level: level(-1)}} {
		refused(t, "tail", failure(control.LogTail.Do(t.Context(), h.client, q)), control.KindBadRequest)
	}
}

// One who follows gets what is there, then what comes, as far as he asked for it, until
// he leaves.
func TestLogFollow(t *testing.T) {
	h := newHouse(t)
	log := h.log.Logger("QUEUE")
	log.Error("past")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for l, err := range control.LogTail.Do(ctx, h.client, control.LogQuery{Lines: 1, Follow: true, Tags: []string{"QUEUE"}}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) || seen != 4 {
				t.Errorf("after %d lines: %v", seen, err)
			}
			return
		}
		if want := []string{"past", "first", "second", "third"}; !strings.HasSuffix(l.Line, " "+want[seen]) {
			t.Errorf("line %d is %q, want %s", seen, l.Line, want[seen])
		}
		switch seen++; seen {
		case 1:
			h.log.Logger("OTHER").Error("not asked for")
			log.Error("first")
		case 2:
			log.Error("second")
			log.Error("third")
		case 4:
			cancel()
		}
	}
	t.Errorf("it ended by itself after %d lines", seen)
}
