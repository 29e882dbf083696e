package control_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/control"
	"cgq/pkg/mail"
)

type (
	outcome   = control.Outcome
	queueRows = iter.Seq2[control.QueueRow, error]
	logLines  = iter.Seq2[control.LogLine, error]
)

// all grants everything to everybody.
func all(control.Actor) []control.Right { return control.Rights() }

// socket is a path that is short enough whatever the test is called.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cgq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "control.sock")
}

// start runs m till the test ends and returns its socket.
func start(t *testing.T, m *control.Mux) string {
	t.Helper()
	path := socket(t)
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
	})
	return path
}

// serve runs m till the test ends and returns a client of it.
func serve(t *testing.T, m *control.Mux) *control.Client {
	t.Helper()
	c := control.Dial(start(t, m))
	t.Cleanup(c.Close)
	return c
}

// serveHTTP runs a server that is not [control.Mux.Serve] till the test ends.
func serveHTTP(t *testing.T, l net.Listener, s *http.Server) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func done(n int) control.CallFunc[control.Act, control.Outcome] {
	return func(context.Context, control.Actor, control.Act) (outcome, error) {
		return control.Outcome{Matched: n, Changed: n}, nil
	}
}

// rows yields n rows, then err.
func rows(n int, err error) control.StreamFunc[control.Selection, control.QueueRow] {
	return func(context.Context, control.Actor, control.Selection) queueRows {
		return func(yield func(control.QueueRow, error) bool) {
			for i := range n {
				if !yield(control.QueueRow{Module: "SMTP", Queue: fmt.Sprintf("q%d.example", i)}, nil) {
					return
				}
			}
			if err != nil {
				yield(control.QueueRow{}, err)
			}
		}
	}
}

// collect reads a list to its end.
func collect[Row any](seq iter.Seq2[Row, error]) (got []Row, err error) {
	for row, err := range seq {
		if err != nil {
			return got, err
		}
		got = append(got, row)
	}
	return got, nil
}

func kind(err error) control.Kind {
	if e, ok := errors.AsType[*control.Error](err); ok {
		return e.Kind
	}
	return ""
}

var act = control.Act{Selection: control.Selection{Module: []string{"SMTP"}, Queue: []string{"example.com"}}}

func TestEveryRequestNeedsItsRight(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rights []control.Right
		want   control.Kind
	}{
		{"none", nil, control.KindNoRight},
		{"another", []control.Right{control.Monitor, control.Release}, control.KindNoRight},
		{"this one", []control.Right{control.Reject}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &control.Mux{Grant: func(control.Actor) []control.Right { return tt.rights }}
			ran := false
			control.Handle(m, control.QueueReject, func(context.Context, control.Actor, control.Act) (outcome, error) {
				ran = true
				return control.Outcome{}, nil
			})
			_, err := control.QueueReject.Do(t.Context(), serve(t, m), act)
			if kind(err) != tt.want || ran != (tt.want == "") {
				t.Errorf("reject with %v: %v, ran %t; want kind %q", tt.rights, err, ran, tt.want)
			}
			if err != nil && (!strings.Contains(err.Error(), `"reject"`) || !strings.Contains(err.Error(), "queue/reject")) {
				t.Errorf("the refusal %q does not name the right and the request", err)
			}
		})
	}
}

func TestOwnerIsRootAndTheDaemonsUser(t *testing.T) {
	me := uint32(os.Geteuid())
	for _, tt := range []struct {
		uid  uint32
		want int
	}{{0, len(control.Rights())}, {me, len(control.Rights())}, {me + 4711, 0}} {
		if got := control.Owner(control.Actor{UID: tt.uid}); len(got) != tt.want {
			t.Errorf("Owner(uid %d) = %v, want %d rights", tt.uid, got, tt.want)
		}
	}
}

func TestCallerIsKnownByTheOperatingSystem(t *testing.T) {
	m := &control.Mux{}
	var got control.Actor
	control.Handle(m, control.Ping, func(_ context.Context, who control.Actor, _ control.Nothing) (control.Daemon, error) {
		got = who
		return control.Daemon{}, nil
	})
	if _, err := control.Ping.Do(t.Context(), serve(t, m), control.Nothing{}); err != nil {
		t.Fatal(err)
	}
	want := control.Actor{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: int32(os.Getpid())}
	if got.UID != want.UID || got.GID != want.GID || got.PID != want.PID || got.Name == "" {
		t.Errorf("caller %+v, want %+v and a name", got, want)
	}
}

func TestACallerWhoIsNotKnownHasNoRight(t *testing.T) {
	m := &control.Mux{Grant: all}
	control.Handle(m, control.QueueRelease, done(1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveHTTP(t, l, &http.Server{Handler: m, ConnContext: control.ConnContext})
	url := "http://" + l.Addr().String() + "/v1/queue/release"
	res, err := http.Post(url, "application/json", strings.NewReader(`{"all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("over TCP: %s, want 403", res.Status)
	}
}

func TestErrorsOfAHandlerReachTheCaller(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want control.Error
	}{
		{"ours to say", control.Errorf(control.KindNoSuchQueue, "see cgq queue list", "no queue SMTP(x)"),
			control.Error{Status: 404, Kind: control.KindNoSuchQueue, Text: "no queue SMTP(x)", Hint: "see cgq queue list"}},
		{"wrapped", fmt.Errorf("kernel: %w", control.Errorf(control.KindStopping, "", "stopping")),
			control.Error{Status: 503, Kind: control.KindStopping, Text: "stopping"}},
		{"a fault", errors.New("disk on fire"), control.Error{Status: 500, Kind: control.KindFault, Text: "disk on fire"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &control.Mux{Grant: all}
			control.Handle(m, control.QueueRelease, func(context.Context, control.Actor, control.Act) (outcome, error) {
				return control.Outcome{}, tt.err
			})
			control.HandleRows(m, control.QueueList, rows(0, tt.err))
			c := serve(t, m)
			_, err := control.QueueRelease.Do(t.Context(), c, act)
			if e, ok := errors.AsType[*control.Error](err); !ok || *e != tt.want {
				t.Errorf("call: %#v, want %#v", err, tt.want)
			}
			_, err = collect(control.QueueList.Do(t.Context(), c, control.Selection{}))
			if e, ok := errors.AsType[*control.Error](err); !ok || *e != tt.want {
				t.Errorf("stream without a row: %#v, want %#v", err, tt.want)
			}
		})
	}
}

func TestAPanicCostsItsRequestOnly(t *testing.T) {
	var log strings.Builder
	m := &control.Mux{Grant: all, Log: slog.New(slog.NewTextHandler(&log, nil))}
	control.Handle(m, control.QueueRelease, func(context.Context, control.Actor, control.Act) (outcome, error) {
		panic("secret detail")
	})
	control.HandleRows(m, control.QueueList, func(context.Context, control.Actor, control.Selection) queueRows {
		return func(yield func(control.QueueRow, error) bool) {
			yield(control.QueueRow{Queue: "a"}, nil)
			panic("halfway")
		}
	})
	c := serve(t, m)
	_, err := control.QueueRelease.Do(t.Context(), c, act)
	if kind(err) != control.KindFault || strings.Contains(err.Error(), "secret") {
		t.Errorf("call: %v, want a fault without its detail", err)
	}
	got, err := collect(control.QueueList.Do(t.Context(), c, control.Selection{}))
	if kind(err) != control.KindFault || len(got) != 1 {
		t.Errorf("stream: %d rows, %v; want one row, then a fault", len(got), err)
	}
	if s := log.String(); !strings.Contains(s, "secret detail") || !strings.Contains(s, "control_test.go") {
		t.Errorf("log %q has not the panic with its stack", s)
	}
}

func TestOutcomeListsAFewSkipsAndCountsAll(t *testing.T) {
	var o control.Outcome
	for i := range control.MaxSkips + 5 {
		o.Skip(control.Skip{ID: mail.ID(i + 1), Reason: "being processed"})
	}
	if o.Skipped != control.MaxSkips+5 || len(o.Skips) != control.MaxSkips {
		t.Errorf("counted %d, listed %d; want %d and %d", o.Skipped, len(o.Skips), control.MaxSkips+5, control.MaxSkips)
	}
}

func TestNoDaemonIsToldApart(t *testing.T) {
	stale := socket(t)
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"missing": socket(t), "stale": stale, "below a file": filepath.Join(plain, "control.sock"),
	} {
		_, err := control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{})
		if !errors.Is(err, control.ErrNoDaemon) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ErrNoDaemon with the path", name, err)
		}
		_, err = collect(control.QueueList.Do(t.Context(), control.Dial(path), control.Selection{}))
		if !errors.Is(err, control.ErrNoDaemon) {
			t.Errorf("%s: stream: %v, want ErrNoDaemon", name, err)
		}
	}
}

func TestListen(t *testing.T) {
	t.Run("takes the place of a dead daemon", func(t *testing.T) {
		path := socket(t)
		for range 2 {
			l, err := control.Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			defer l.Close()
			if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o666 {
				t.Errorf("%v, %v; want a socket for everybody", i, err)
			}
		}
	})
	t.Run("keeps its hands off what is no socket", func(t *testing.T) {
		path := socket(t)
		if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Listen(path); err == nil {
			t.Error("a file was replaced")
		}
		if b, err := os.ReadFile(path); string(b) != "mine" {
			t.Errorf("the file holds %q, %v", b, err)
		}
		if err := os.Mkdir(path+".moved-1", 0o700); err != nil {
			t.Fatal(err)
		}
		if moved, err := control.MoveAway(path); moved != path+".moved-2" || err != nil {
			t.Errorf("MoveAway = %q, %v", moved, err)
		}
		if b, err := os.ReadFile(path + ".moved-2"); string(b) != "mine" {
			t.Errorf("moved, the file holds %q, %v", b, err)
		}
		l, err := control.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if moved, err := control.MoveAway(path); moved != "" || err != nil {
			t.Errorf("MoveAway of a socket = %q, %v", moved, err)
		}
	})
	t.Run("says when the path is too long", func(t *testing.T) {
		path := "/tmp/" + strings.Repeat("x", 108) + "/control.sock"
		if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "--base") {
			t.Errorf("Listen: %v, want a word about --base", err)
		}
		_, err := control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{})
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--base") {
			t.Errorf("Ping: %v, want a word about --base", err)
		}
	})
}
