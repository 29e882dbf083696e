package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

// raw sends one request as it stands and returns status and answer.
func raw(t *testing.T, path, method, url, body string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://cgqd"+url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestWhatTheServerRefuses(t *testing.T) {
	m := &control.Mux{Grant: all}
	ran := 0
	control.Handle(m, control.QueueReject, func(context.Context, control.Actor, control.Act) (control.Outcome, error) {
		ran++
		return control.Outcome{}, nil
	})
	path := start(t, m)
	for _, tt := range []struct {
		name, method, url, body string
		status                  int
		kind                    control.Kind
	}{
		{"a misspelt filter", "POST", "/v1/queue/reject", `{"modul":["SMTP"],"all":true}`, 400, control.KindBadRequest},
		{"an unknown field", "POST", "/v1/queue/reject", `{"all":true,"where":{"x":1}}`, 400, control.KindBadRequest},
		{"not JSON", "POST", "/v1/queue/reject", `all of it`, 400, control.KindBadRequest},
		{"half of it", "POST", "/v1/queue/reject", `{"all":`, 400, control.KindBadRequest},
		{"a field that is there twice", "POST", "/v1/queue/reject", `{"sender":["a@b.example"],"sender":["*"]}`, 400, control.KindBadRequest},
		{"a dry run, and none", "POST", "/v1/queue/reject", `{"all":true,"dry_run":true,"dry_run":false}`, 400, control.KindBadRequest},
		{"the same in another case", "POST", "/v1/queue/reject", `{"all":true,"dry_run":true,"Dry_Run":false}`, 400, control.KindBadRequest},
		{"not UTF-8", "POST", "/v1/queue/reject", "{\"sender\":[\"a\xff@b.example\"]}", 400, control.KindBadRequest},
		{"deep", "POST", "/v1/queue/reject", `{"sender":` + strings.Repeat("[", 1<<20), 400, control.KindBadRequest},
		{"two requests", "POST", "/v1/queue/reject", `{"all":true}{"all":true}`, 400, control.KindBadRequest},
		{"the wrong type", "POST", "/v1/queue/reject", `{"module":"SMTP"}`, 400, control.KindBadRequest},
		{"nothing selected", "POST", "/v1/queue/reject", `{}`, 400, control.KindEmptySelection},
		{"no body", "POST", "/v1/queue/reject", ``, 400, control.KindEmptySelection},
		{"all, but not all", "POST", "/v1/queue/reject", `{"all":true,"queue":["a"]}`, 400, control.KindBadRequest},
		{"too much", "POST", "/v1/queue/reject", `{"all":true,"text":"` + strings.Repeat("x", control.MaxRequest) + `"}`,
			413, control.KindTooLarge},
		{"too much behind it", "POST", "/v1/queue/reject", `{"all":true}` + strings.Repeat(" ", control.MaxRequest),
			413, control.KindTooLarge},
		{"an unknown request", "POST", "/v1/queue/eat", `{}`, 404, control.KindNoSuchCall},
		{"another version", "POST", "/v2/queue/reject", `{"all":true}`, 404, control.KindNoSuchCall},
		{"a GET", "GET", "/v1/queue/reject", ``, 404, control.KindNoSuchCall},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := raw(t, path, tt.method, tt.url, tt.body)
			var e control.Error
			err := json.Unmarshal([]byte(body), &e)
			if status != tt.status || err != nil || e.Kind != tt.kind || e.Status != tt.status || e.Text == "" {
				t.Errorf("%.60s: %d %.200s (%v), want %d %s", tt.body, status, body, err, tt.status, tt.kind)
			}
		})
	}
	if ran != 0 {
		t.Errorf("the handler ran %d times, want never", ran)
	}
}

func TestAStreamSaysThatItIsWhole(t *testing.T) {
	m := &control.Mux{Grant: all}
	control.HandleRows(m, control.QueueList, rows(2, nil))
	path := start(t, m)
	_, body := raw(t, path, "POST", "/v1/queue/list", "")
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) != 3 || lines[2] != `{"end":{"rows":2}}` {
		t.Errorf("stream\n%s\nwant two rows and the end", body)
	}
	for _, n := range []int{0, 1, 5000} {
		m := &control.Mux{Grant: all}
		control.HandleRows(m, control.QueueList, rows(n, nil))
		got, err := collect(control.QueueList.Do(t.Context(), serve(t, m), control.Selection{}))
		if err != nil || len(got) != n {
			t.Errorf("%d rows, %v; want %d", len(got), err, n)
		}
	}
}

func TestAStreamThatFailsLateEndsWithTheError(t *testing.T) {
	m := &control.Mux{Grant: all}
	control.HandleRows(m, control.QueueList, rows(3, control.Errorf(control.KindStopping, "", "stopping")))
	got, err := collect(control.QueueList.Do(t.Context(), serve(t, m), control.Selection{}))
	if len(got) != 3 || kind(err) != control.KindStopping {
		t.Errorf("%d rows, %v; want 3 and the error", len(got), err)
	}
}

func TestAListThatWasCutOffIsNotWhole(t *testing.T) {
	for _, tt := range []struct{ name, body string }{
		{"nothing", ""},
		{"without an end", `{"queue":"a"}` + "\n"},
		{"inside a row", `{"queue":"a"}` + "\n" + `{"que`},
		{"a row lost", `{"queue":"a"}` + "\n" + `{"end":{"rows":2}}` + "\n"},
		{"inside the end", `{"queue":"a"}` + "\n" + `{"end":{"ro`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := control.Listen(socket(t))
			if err != nil {
				t.Fatal(err)
			}
			serveHTTP(t, l, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, tt.body)
			})})
			got, err := collect(control.QueueList.Do(t.Context(), control.Dial(l.Addr().String()), control.Selection{}))
			if err == nil {
				t.Errorf("%d rows and no error from %q", len(got), tt.body)
			}
		})
	}
	t.Run("the connection broke", func(t *testing.T) {
		l, err := control.Listen(socket(t))
		if err != nil {
			t.Fatal(err)
		}
		serveHTTP(t, l, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, `{"queue":"a"}`)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		})})
		got, err := collect(control.QueueList.Do(t.Context(), control.Dial(l.Addr().String()), control.Selection{}))
		if len(got) != 1 || !errors.Is(err, control.ErrCutOff) {
			t.Errorf("%d rows, %v; want one and ErrCutOff", len(got), err)
		}
	})
}

func TestACallerWhoDoesNotReadKeepsNobodyWaiting(t *testing.T) {
	m := &control.Mux{Grant: all}
	blocked := make(chan struct{})
	control.HandleRows(m, control.QueueList, func(ctx context.Context, _ control.Actor, _ control.Selection) queueRows {
		return func(yield func(control.QueueRow, error) bool) {
			big := control.QueueRow{LastError: strings.Repeat("x", 1<<20)}
			for i := 0; yield(big, nil); i++ {
				if i == 8 {
					close(blocked)
				}
			}
		}
	})
	control.Handle(m, control.QueueRelease, done(1))
	path := start(t, m)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	next, stop := iter.Pull2(control.QueueList.Do(ctx, control.Dial(path), control.Selection{}))
	defer stop()
	if _, err, _ := next(); err != nil { // and never again: the pipe between them fills up
		t.Fatal(err)
	}
	for i := range 3 {
		if out, err := control.QueueRelease.Do(t.Context(), control.Dial(path), act); err != nil || out.Changed != 1 {
			t.Fatalf("call %d beside it: %+v, %v", i, out, err)
		}
	}
	select {
	case <-blocked:
		t.Error("the stream went on without a reader")
	default:
	}
}

func TestRowsArriveWhileTheStreamGoesOn(t *testing.T) {
	m := &control.Mux{Grant: all}
	left := make(chan struct{})
	control.HandleRows(m, control.LogTail, func(ctx context.Context, _ control.Actor, _ control.LogQuery) logLines {
		return func(yield func(control.LogLine, error) bool) {
			yield(control.LogLine{Line: "one"}, nil)
			<-ctx.Done()
			close(left)
		}
	})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	c := serve(t, m)
	var got []string
	for row, err := range control.LogTail.Do(ctx, c, control.LogQuery{Follow: true}) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the end: %v, want context.Canceled", err)
			}
			break
		}
		got = append(got, row.Line)
		leave()
	}
	<-left // the handler hears that nobody listens
	if len(got) != 1 {
		t.Errorf("rows %q, want one", got)
	}
}

// A stream that lasts goes on when all others have ended, to its own end.
func TestAStopLeavesWhatLasts(t *testing.T) {
	for _, tt := range []struct {
		name string
		ends bool // else it is hung up on
	}{{"it ends", true}, {"it does not", false}} {
		t.Run(tt.name, func(t *testing.T) {
			m := &control.Mux{Grant: all}
			more := make(chan string)
			control.HandleLasting(m, control.LogTail, func(ctx context.Context, _ control.Actor, _ control.LogQuery) logLines {
				return func(yield func(control.LogLine, error) bool) {
					for {
						select {
						case line, ok := <-more:
							if !ok || !yield(control.LogLine{Line: line}, nil) {
								return
							}
						case <-ctx.Done():
							return
						}
					}
				}
			})
			path := socket(t)
			l, err := control.Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			served := make(chan error, 1)
			go func() { served <- m.Serve(ctx, l) }()
			var got []string
			tail := make(chan error, 1)
			go func() {
				var last error
				for row, err := range control.LogTail.Do(t.Context(), control.Dial(path), control.LogQuery{Follow: true}) {
					if last = err; err == nil {
						got = append(got, row.Line)
					}
				}
				tail <- last
			}()
			more <- "running"
			stop()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v, want nil", err)
			}
			more <- "stopped"
			if tt.ends {
				close(more)
			}
			m.Close()
			err = <-tail
			if want := []string{"running", "stopped"}; !slices.Equal(got, want) || (err == nil) != tt.ends {
				t.Errorf("rows %q and %v, want %q", got, err, want)
			}
		})
	}
}

func TestAStopEndsStreamsAndLetsCallsFinish(t *testing.T) {
	m := &control.Mux{Grant: all}
	begun, finish := make(chan struct{}), make(chan struct{})
	control.HandleRows(m, control.LogTail, func(ctx context.Context, _ control.Actor, _ control.LogQuery) logLines {
		return func(yield func(control.LogLine, error) bool) {
			yield(control.LogLine{Line: "one"}, nil)
			<-ctx.Done()
			close(finish)
			yield(control.LogLine{}, ctx.Err())
		}
	})
	control.Handle(m, control.QueueRelease, func(ctx context.Context, _ control.Actor, _ control.Act) (outcome, error) {
		close(begun)
		<-finish
		return control.Outcome{Changed: 1}, ctx.Err()
	})
	path := socket(t)
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	called := make(chan error, 1)
	go func() {
		out, err := control.QueueRelease.Do(t.Context(), control.Dial(path), act)
		if err == nil && out.Changed != 1 {
			err = errors.New("nothing changed")
		}
		called <- err
	}()
	<-begun
	var last error
	for _, err := range control.LogTail.Do(t.Context(), control.Dial(path), control.LogQuery{Follow: true}) {
		if last = err; err == nil {
			stop()
		}
	}
	if kind(last) != control.KindStopping {
		t.Errorf("the stream ended with %v, want %s", last, control.KindStopping)
	}
	if err := <-called; err != nil {
		t.Errorf("the call: %v, want it done", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v, want nil", err)
	}
	_, err = control.Ping.Do(t.Context(), control.Dial(path), control.Nothing{})
	if !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("afterwards: %v, want ErrNoDaemon", err)
	}
}

// A row that began with one of these would be taken for the end.
func TestNoRowLooksLikeTheEnd(t *testing.T) {
	for _, row := range []any{control.QueueRow{}, control.MessageRow{}, control.LogLine{}, control.Account{},
		control.Element{}, control.Listener{}} {
		f := reflect.TypeOf(row).Field(0)
		if name := f.Tag.Get("json"); strings.HasPrefix(name, "end") || strings.HasPrefix(name, "error") || name == "" {
			t.Errorf("%T begins with %q", row, name)
		}
	}
}

func TestJSONOfRows(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"times that are not are left out",
			control.QueueRow{Module: "SMTP", Queue: "a", State: control.Delayed, DelayedTill: at},
			`{"module":"SMTP","queue":"a","state":"delayed","messages":0,"recipients":0,"bytes":0,` +
				`"delayed_till":"2026-11-23T12:00:00Z","attempts":0,"last_error":"","hold":""}`},
		{"message", control.MessageRow{ID: 4711, Submitted: at, ReturnPath: "<>"},
			`{"id":4711,"module":"","queue":"","state":"","submitted":"2026-11-23T12:00:00Z","return_path":"\u003c\u003e",` +
				`"sender":"","source":"","bytes":0,"recipients":0,"attempts":0,"last_error":"","subject":""}`},
		{"seconds, rounded up", control.RecipientRow{RetryIn: control.Seconds(1500 * time.Millisecond)},
			`{"recipient":"","module":"","queue":"","status":"","retry_in":2,"attempts":0,"last_error":""}`},
		{"an act is flat", control.Act{Selection: control.Selection{Queue: []string{"a"}}, DryRun: true},
			`{"queue":["a"],"dry_run":true}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.v)
			if err != nil || string(got) != tt.want {
				t.Errorf("%s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
	var s control.Seconds
	if err := json.Unmarshal([]byte("90"), &s); err != nil || s.Duration() != 90*time.Second {
		t.Errorf("90 reads as %v, %v", s.Duration(), err)
	}
}
