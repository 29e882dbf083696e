package metrics_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cgq/pkg/metrics"
	"cgq/pkg/queue"
	"cgq/pkg/stats"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// source shows some host queues, of which so many alone.
func source(alone int, hosts ...queue.HostView) metrics.Source {
	st := &stats.Set{}
	for _, a := range stats.Catalogue() {
		st.Counter(a.Name)
	}
	st.Counter("numQueuedMessages").Add(7)
	return metrics.Source{Stats: st, Modules: []string{"ENQUEUER", "SMTP"}, Version: "1", Queues: func() int { return alone },
		Now: func() time.Time { return now }, Hosts: func() iter.Seq[queue.HostView] { return slices.Values(hosts) }}
}

func hostQueue(module, name string, messages int, age time.Duration) queue.HostView {
	return queue.HostView{Key: queue.Key{Module: module, Queue: name}, Messages: messages, Recipients: 2 * messages, Bytes: 10, Oldest: now.Add(-age)}
}

// serve starts a server with those settings, and stops it at the end of the test.
func serve(t *testing.T, s metrics.Source, set *metrics.Settings) (*metrics.Server, string) {
	t.Helper()
	base := t.TempDir()
	m := metrics.New(base, s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := m.Use(set); err != nil {
		t.Fatal(err)
	}
	return m, base
}

// read asks a socket for its metrics.
func read(t *testing.T, socket string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := client.Get("http://cgq/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v: %s", r.Status, err, b)
	}
	return string(b)
}

func ofSocket(t *testing.T, s metrics.Source) string {
	t.Helper()
	_, base := serve(t, s, &metrics.Settings{Listen: []string{"unix:m.sock"}})
	return read(t, filepath.Join(base, "m.sock"))
}

// Every element is there from the start, with zero, and so is every module; and of what
// strangers name nothing gets out of its label.
func TestSeries(t *testing.T) {
	delayed := hostQueue("SMTP", "a.example", 3, time.Hour)
	delayed.Until, delayed.Attempts = now.Add(time.Hour), 4
	text := ofSocket(t, source(10, delayed, hostQueue("SMTP", "b\"\n\\c\xff", 1, time.Minute)))
	for _, want := range []string{
		`cgq_info{version="1"} 1`, `cgq_num_queued_messages 7`, `cgq_smtp_input_jobs_total 0`, `# TYPE cgq_smtp_input_jobs_total counter`,
		`# TYPE cgq_smtp_input_active gauge`, `cgq_module_messages{module="ENQUEUER"} 0`, `cgq_module_oldest_seconds{module="ENQUEUER"} 0`,
		`cgq_module_queues{module="SMTP"} 2`, `cgq_module_delayed_queues{module="SMTP"} 1`, `cgq_module_recipients{module="SMTP"} 8`,
		`cgq_module_oldest_seconds{module="SMTP"} 3600`, `cgq_queue_messages{module="SMTP",queue="a.example"} 3`,
		`cgq_queue_delayed{module="SMTP",queue="a.example"} 1`, `cgq_queue_failed_attempts{module="SMTP",queue="a.example"} 4`,
		"cgq_queue_oldest_seconds{module=\"SMTP\",queue=\"b\\\"\\n\\\\c\uFFFD\"} 60", "process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(text, want+"\n") && !strings.Contains(text, want+" ") {
			t.Errorf("%s is not in it", want)
		}
	}
	for _, a := range stats.Catalogue() {
		if !strings.Contains(text, "# HELP "+metrics.ElementName(a)+" "+a.Doc+"\n") {
			t.Errorf("%s is not there, as %s, or without its words", a.Name, metrics.ElementName(a))
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	} else if os.Getenv("CGQ_TEST_TOOLS") == "required" {
		t.Error("promtool is not here")
	}
}

// Of many host queues the largest and the oldest are shown alone, and all in the sums.
func TestWhichQueuesAreShown(t *testing.T) {
	var all []queue.HostView
	for i := range 100 { // the larger the younger
		all = append(all, hostQueue("SMTP", fmt.Sprintf("q%02d", i), i+1, time.Duration(100-i)*time.Hour))
	}
	for limit, want := range map[int][]string{
		0: nil, 1: {"q99"}, 2: {"q00", "q99"}, 5: {"q00", "q01", "q97", "q98", "q99"}, 100: nil, 1000: nil,
	} {
		text := ofSocket(t, source(limit, all...))
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^cgq_queue_messages\{module="SMTP",queue="(.*)"\}`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		if limit >= 100 && len(got) != 100 || limit < 100 && !slices.Equal(got, want) {
			t.Errorf("of 100 with limit %d: %v, want %v", limit, got, want)
		}
		if !strings.Contains(text, `cgq_module_messages{module="SMTP"} 5050`+"\n") {
			t.Errorf("limit %d: the sum is not that of all", limit)
		}
	}
}

// Where it listens changes live; what is in the way is told, and the others work.
func TestUse(t *testing.T) {
	m, base := serve(t, source(0), &metrics.Settings{Listen: []string{"unix:a.sock", "127.0.0.1:0"}})
	read(t, filepath.Join(base, "a.sock"))
	if err := m.Use(&metrics.Settings{Listen: []string{"unix:b.sock"}}); err != nil {
		t.Fatal(err)
	}
	read(t, filepath.Join(base, "b.sock"))
	if c, err := net.Dial("unix", filepath.Join(base, "a.sock")); err == nil {
		c.Close()
		t.Error("it listens on the old one")
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(base, "stale"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if err := os.WriteFile(filepath.Join(base, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("unix", filepath.Join(base, "busy"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	err = m.Use(&metrics.Settings{Listen: []string{"unix:stale", "unix:file", "unix:busy", "unix:b.sock"}})
	if err == nil || !strings.Contains(err.Error(), "file is there and no socket") || !strings.Contains(err.Error(), "busy: another process listens on it") ||
		strings.Contains(err.Error(), "stale") {
		t.Errorf("Use = %v", err)
	}
	read(t, filepath.Join(base, "stale"))
	read(t, filepath.Join(base, "b.sock"))
	if b, err := os.ReadFile(filepath.Join(base, "file")); err != nil || string(b) != "x" {
		t.Errorf("the file in the way: %q, %v", b, err)
	}
}

// Whoever opens connections without end takes a few descriptors, and when he leaves others come in.
func TestTooManyConnections(t *testing.T) {
	_, base := serve(t, source(1), &metrics.Settings{Listen: []string{"unix:m.sock"}})
	socket := filepath.Join(base, "m.sock")
	var open []net.Conn
	for range 100 {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	for _, c := range open[32:] { // they are accepted in turn
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
	}
	if _, err := io.WriteString(open[0], "GET /metrics HTTP/1.0\r\n\r\n"); err != nil { // he is served still
		t.Fatal(err)
	}
	if b, err := io.ReadAll(open[0]); err != nil || !bytes.Contains(b, []byte("cgq_num_queued_messages 7\n")) {
		t.Fatalf("%.200s, %v", b, err)
	}
	for _, c := range open {
		c.Close()
	}
	for {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(c, "GET /metrics HTTP/1.0\r\n\r\n")
		b, _ := io.ReadAll(c)
		c.Close()
		if err == nil && bytes.Contains(b, []byte("cgq_num_queued_messages 7\n")) {
			break // the server has noticed that they have left
		}
	}
}

// What cannot be listened on is tried again, and said as long as it is so.
func TestAnAddressThatIsTaken(t *testing.T) {
	base := t.TempDir()
	busy, err := net.Listen("unix", filepath.Join(base, "m.sock"))
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New(base, source(1), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	if err := m.Use(&metrics.Settings{Listen: []string{"unix:m.sock"}}); err == nil || m.Wrong() == nil {
		t.Errorf("%v, and then %v", err, m.Wrong())
	}
	if m.Retry(); m.Wrong() == nil {
		t.Error("nothing is wrong")
	}
	busy.Close()
	if m.Retry(); m.Wrong() != nil {
		t.Error(m.Wrong())
	}
	read(t, filepath.Join(base, "m.sock"))
}

func TestSettings(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:9480": "", "[::1]:9480": "", "unix:metrics.sock": "", "unix:/run/cgq/metrics.sock": "",
		"": "listen: ", "localhost:9480": "listen: \"localhost:9480\" is neither", "unix:": "listen: ", "9480": "listen: ",
		"unix:" + strings.Repeat("x", 101): "listen: ",
	} {
		s := metrics.Defaults()
		s.Listen = []string{listen}
		if err := s.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", listen, err, want)
		}
	}
	for n, ok := range map[int]bool{-1: false, 0: true, 10_000: true, 10_001: false} {
		if s := (metrics.Settings{Queues: n}); (s.Validate() == nil) != ok {
			t.Errorf("queues %d: %v", n, s.Validate())
		}
	}
}

// known are the names of all metrics.
func known(t *testing.T) []string {
	text := ofSocket(t, source(1, hostQueue("SMTP", "a", 1, time.Minute)))
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return append(names, "up")
}

// The alert rules and the dashboard ask for what there is.
func TestRulesAndDashboard(t *testing.T) {
	names := known(t)
	metric := regexp.MustCompile(`\b(cgq_[a-z_]+|process_[a-z_]+)\b`)
	for _, file := range []string{"prometheus/alerts.yml", "grafana/cgq.json"} {
		b, err := os.ReadFile(filepath.Join("../../docs", file))
		if err != nil {
			t.Fatal(err)
		}
		all := metric.FindAllString(string(b), -1)
		if len(all) < 10 {
			t.Errorf("%s asks for %d metrics only", file, len(all))
		}
		for _, name := range all {
			if !slices.Contains(names, name) {
				t.Errorf("%s asks for %s, which is not there", file, name)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(b) {
			t.Errorf("%s is no JSON", file)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CGQ_TEST_TOOLS") == "required" {
			t.Fatal("promtool is not here")
		}
		t.Skip("promtool is not here")
	}
	cmd := exec.Command(promtool, "test", "rules", "alerts_test.yml")
	cmd.Dir = "../../docs/prometheus"
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
