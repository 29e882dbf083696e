package admin_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// matrix is which right each request needs: what CLI.md and the chapter say. A new request
// is added here by hand.
var matrix = map[control.Right][]string{
	control.Anyone: {"ping", "whoami"},
	control.Monitor: {"queue/list", "queue/show", "queue/shape", "queue/explain", "message/list", "message/show", "message/trace",
		"log/tail", "log/emails", "log/audit", "log/levels", "route", "stat", "stat/listeners", "check"},
	control.Release: {"queue/release", "message/release", "hold/add", "hold/list", "hold/remove"},
	control.Reject:  {"queue/reject", "message/reject", "trash/list", "trash/restore", "trash/purge"},
	control.View:    {"queue/backup", "message/content", "message/export"},
	control.Settings: {"message/reroute", "rules/list", "rules/show", "rules/test", "rules/import", "log/level", "account/create", "account/list", "account/delete",
		"settings/list", "settings/set", "settings/file", "settings/replace", "settings/history", "settings/diff", "settings/rollback"},
	control.Submit: {},
}

// Every request is refused without its right, whatever others the caller has, and with it
// not. None is missing.
func TestTheWholeMatrixOfRights(t *testing.T) {
	h, _ := empty(t)
	var has []control.Right
	var refused []string
	h.read = make(chan struct{})
	close(h.read)
	s := h.face(t)
	s.Access.Rights = func(control.Actor) []control.Right { return has }
	m := s.Mux(h.log.Logger("ADMIN"))
	m.Refused = func(_ control.Actor, path string, need control.Right) {
		refused = append(refused, path+" "+string(need))
	}
	h.serve(t, m)
	need := map[string]control.Right{}
	for right, paths := range matrix {
		for _, path := range paths {
			need[path] = right
		}
	}
	for _, d := range m.Declarations() {
		right, ok := need[d.Path]
		if !ok || right != d.Right {
			t.Errorf("%s needs %q; the matrix says %q (%v)", d.Path, d.Right, right, ok)
		}
		delete(need, d.Path)
		for _, r := range append(control.Rights(), control.Anyone) {
			has, refused = []control.Right{r}, nil
			if e := h.ask(t, d.Path); (e.Kind == control.KindNoRight) == (r == right || right == control.Anyone) {
				t.Errorf("%s with the right %q alone: %+v", d.Path, r, e)
			} else if e.Kind == control.KindNoRight && (e.Status != http.StatusForbidden || len(refused) != 1 || refused[0] != d.Path+" "+string(right)) {
				t.Errorf("%s: %+v, and heard of %q", d.Path, e, refused)
			}
			has = slices.DeleteFunc(control.Rights(), func(x control.Right) bool { return x == r })
			if e := h.ask(t, d.Path); (e.Kind == control.KindNoRight) != (r == right && right != control.Anyone) {
				t.Errorf("%s with all rights but %q: %+v", d.Path, r, e)
			}
		}
	}
	for path := range need {
		t.Errorf("%s is in the matrix, and nobody serves it", path)
	}
}

// ask sends a request without a field, and returns the error that is answered, if one is.
func (h *house) ask(t *testing.T, path string) (e control.Error) {
	t.Helper()
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.socket)
	}}}
	res, err := c.Post("http://cgqd/v1/"+path, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if res.StatusCode != http.StatusOK {
		if err := json.Unmarshal(b, &e); err != nil || e.Kind == "" || e.Kind == control.KindFault {
			t.Errorf("%s: %d %s", path, res.StatusCode, b)
		}
	}
	return e
}

// What is refused stands in the Audit log, and however often it is tried in two lines a minute.
func TestRefusalsAreInTheAuditLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := serverlog.Open(crashdisk.NewTree(-1), "SystemLogs", serverlog.Options{Level: serverlog.All})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		s := &admin.Server{Log: log, Audit: log.Logger("AUDIT")}
		m := s.Mux(nil)
		ann := control.Actor{UID: 4001, PID: 77, Name: "ann\nroot"}
		want := func(texts ...string) {
			t.Helper()
			var got []string
			for l, err := range log.Tail(t.Context(), serverlog.Query{Last: -1, Components: []string{"AUDIT"}}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, l.Text)
			}
			if !slices.Equal(got, texts) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(texts, "\n"))
			}
		}
		for range 1000 {
			m.Refused(ann, "queue/reject", control.Reject)
		}
		m.Refused(ann, "queue/release", control.Release)
		first := `refused: queue/reject to ann\nroot, uid=4001, pid=77, right=reject`
		second := `refused: queue/release to ann\nroot, uid=4001, pid=77, right=release`
		want(first, second)
		time.Sleep(time.Minute)
		synctest.Wait()
		more := `refused: queue/reject to ann\nroot, 999 times more within a minute, uid=4001, pid=77, right=reject`
		want(first, second, more)
		time.Sleep(time.Minute)
		m.Refused(ann, "queue/reject", control.Reject)
		want(first, second, more, first)

		for uid := range uint32(5000) { // many users fill no memory, and not the log
			m.Refused(control.Actor{UID: 10_000 + uid, Name: "x"}, "stat", control.Monitor)
		}
		n := 0
		for _, err := range log.Tail(t.Context(), serverlog.Query{Last: -1, Components: []string{"AUDIT"}}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n > 1010 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(2 * time.Minute)
	})
}

// audited are the lines of the Audit log about a text.
func (h *house) audited(t *testing.T, text string) (lines []string) {
	t.Helper()
	for l, err := range h.log.Tail(t.Context(), serverlog.Query{Last: -1, Components: []string{"AUDIT"}}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(l.Text, text) {
			lines = append(lines, l.Text)
		}
	}
	return lines
}

// Also what is refused within a request stands there, and mail that a program may not hand in.
func TestRefusalsWithinRequestsAreInTheAuditLog(t *testing.T) {
	c := newCupboard(t, boxText)
	if err := settings.Replace(c.fs, "S", "access.toml", "# nobody\n"); err != nil {
		t.Fatal(err)
	}
	c.load(t)
	c.rights = []control.Right{control.Settings}
	file, err := control.SettingsFile.Do(t.Context(), c.client, control.SettingsFileName{Name: "access"})
	if err != nil {
		t.Fatal(err)
	}
	file.Text = "# me\n"
	if _, err := control.SettingsReplace.Do(t.Context(), c.client, file); kind(err) != control.KindNoRight {
		t.Fatal(err)
	}
	if lines := c.audited(t, "refused: Settings/access.toml to "); len(lines) != 1 || !strings.HasSuffix(lines[0], ", right=all") {
		t.Errorf("%q", lines)
	}
	s := &admin.Server{Log: c.log, Audit: c.log.Logger("AUDIT")}
	m := (&admin.Submitter{Refused: s.Refused}).Mux(nil)
	if m.Refused == nil {
		t.Fatal("nobody hears of it")
	}
	m.Refused(control.Actor{UID: 4711, Name: "eve"}, "submit", control.Submit)
	if lines := c.audited(t, "refused: submit to eve, uid=4711"); len(lines) != 1 {
		t.Errorf("%q", lines)
	}
}

// All that is in Audit is of one level: what goes on to syslog, by its level, has all of it.
func TestAuditHasOneLevel(t *testing.T) {
	c := newCupboard(t, boxText)
	file, err := control.SettingsFile.Do(t.Context(), c.client, control.SettingsFileName{Name: "box"})
	if err != nil {
		t.Fatal(err)
	}
	file.Text = "# less\n"
	if _, err := control.SettingsReplace.Do(t.Context(), c.client, file); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	id := h.put(t, "x@c.example")
	if _, err := control.MessageContent.Do(t.Context(), h.client, control.MessageID{ID: id}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, log := range []*serverlog.Log{c.log, h.log} {
		n := 0
		for l, err := range log.Tail(t.Context(), serverlog.Query{Last: -1, Components: []string{"AUDIT"}}) {
			if n++; err != nil || l.Level != serverlog.Major {
				t.Errorf("%q, %v", l, err)
			}
		}
		if n == 0 {
			t.Error("nothing is in Audit")
		}
	}
}

func TestWhoami(t *testing.T) {
	h, _ := empty(t)
	s := h.face(t)
	h.serve(t, s.Mux(h.log.Logger("ADMIN")))
	id, err := control.Whoami.Do(t.Context(), h.client, control.Nothing{})
	if err != nil || id.User != me(t) || !slices.Equal(id.Rights, control.Rights()) || id.Grants == nil {
		t.Errorf("%+v, %v", id, err)
	}
	s.Access = admin.Access{
		Rights: func(control.Actor) []control.Right { return nil },
		Granted: func(control.Actor) []control.Granted {
			return []control.Granted{{By: "grant 1", Rights: []control.Right{control.View}}}
		},
	}
	h2, _ := empty(t)
	h2.serve(t, s.Mux(h2.log.Logger("ADMIN")))
	id, err = control.Whoami.Do(t.Context(), h2.client, control.Nothing{})
	if err != nil || len(id.Rights) != 0 || id.Rights == nil || len(id.Grants) != 1 || id.Grants[0].By != "grant 1" {
		t.Errorf("%+v, %v", id, err)
	}
}
