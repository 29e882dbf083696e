package serverlog_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
)

func open(t *testing.T, dir string) *serverlog.Log {
	t.Helper()
	l, err := serverlog.Open(above(t, dir), filepath.Base(dir), serverlog.Options{Level: serverlog.All})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// above is the file system that a directory is in.
func above(t *testing.T, dir string) *disk.OS {
	t.Helper()
	fsys, err := disk.OpenOS(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// lines reads the log file of a day, without the times.
func lines(t *testing.T, dir string, day time.Time) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, day.Format("2006-01-02")+".log"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if l, ok := serverlog.ParseLine(line, day); ok {
			line = strings.TrimPrefix(l.String(), l.Time.Format("15:04:05.000 "))
		}
		list = append(list, strings.TrimSuffix(line, "\n"))
	}
	return list
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The log is written within 100 ms, failures and crashes at once.
func TestLinesAreWrittenSoon(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		defer l.Close()
		today := time.Now()
		log := l.Logger("SMTP")
		log.Info("soon")
		synctest.Wait()
		equal(t, "at first", lines(t, dir, today))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		equal(t, "after 100 ms", lines(t, dir, today), "4 SMTP soon")
		log.Info("with the next")
		log.Error("at once")
		synctest.Wait()
		equal(t, "after a failure", lines(t, dir, today), "4 SMTP soon", "4 SMTP with the next", "1 SMTP at once")
		log.Log(t.Context(), serverlog.Crash, "before anything else") // no Wait: it is there when Log returns
		if got := lines(t, dir, today); len(got) != 4 {
			t.Errorf("after a crash record the file is %q, want four lines", got)
		}
	})
}

func midnight() time.Time {
	year, month, day := time.Now().Date()
	return time.Date(year, month, day+1, 0, 0, 0, 0, time.Local)
}

func TestNewFileAtMidnight(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		log := l.Logger("SMTP")
		next := midnight()
		time.Sleep(time.Until(next) - 10*time.Millisecond)
		before := time.Now()
		log.Info("old")
		time.Sleep(20 * time.Millisecond) // less than the buffer waits
		log.Info("new")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		equal(t, "old file", lines(t, dir, before), "4 SMTP old")
		equal(t, "new file", lines(t, dir, next), "4 SMTP new")
		if st, err := os.Stat(filepath.Join(dir, next.Format("2006-01-02")+".log")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode of the file: %v, %v; want 0600", st.Mode(), err)
		}
	})
}

func TestLevels(t *testing.T) {
	dir := t.TempDir()
	l, err := serverlog.Open(above(t, dir), filepath.Base(dir), serverlog.Options{
		Level:  serverlog.Major,
		Levels: map[string]slog.Level{"SMTP": serverlog.All},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	smtp, queue := l.Logger("SMTP"), serverlog.Session(l.Logger("QUEUE"), 0, "x")
	ctx := t.Context()
	check := func(what string, wantSMTP, wantQueue slog.Level) {
		t.Helper()
		for _, c := range []struct {
			tag  string
			log  *slog.Logger
			want slog.Level
		}{{"SMTP", smtp, wantSMTP}, {"QUEUE", queue, wantQueue}} {
			if !c.log.Enabled(ctx, c.want) || c.log.Enabled(ctx, c.want-1) {
				t.Errorf("%s: the level of %s is not %d", what, c.tag, c.want)
			}
		}
		all := l.Levels()
		if len(all) != 2 || all[0].Tag != "QUEUE" || all[0].Level != wantQueue || all[1].Tag != "SMTP" || all[1].Level != wantSMTP {
			t.Errorf("%s: Levels = %+v, want QUEUE %d and SMTP %d", what, all, wantQueue, wantSMTP)
		}
	}
	check("as opened", serverlog.All, serverlog.Major)
	l.SetLevel("QUEUE", serverlog.Low, 0, nil)
	check("one set", serverlog.All, serverlog.Low)
	l.SetLevels(serverlog.Problem, map[string]slog.Level{"QUEUE": serverlog.Failure})
	check("all set", serverlog.Problem, serverlog.Failure)
}

// A full disk costs the lines, and it is said how many; it never stops who logs.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := crashdisk.NewTree(-1)
		var complaints []error
		l, err := serverlog.Open(d, "SystemLogs", serverlog.Options{Level: serverlog.All,
			Complain: func(err error) { complaints = append(complaints, err) }})
		if err != nil {
			t.Fatal(err)
		}
		log := l.Logger("SMTP")
		d.Fail(func(op, name string) error {
			if op == "write" {
				return fmt.Errorf("write %s: %w", name, syscall.ENOSPC)
			}
			return nil
		})
		long := strings.Repeat("x", 1000)
		for range 5000 { // more than the buffer holds
			log.Info(long)
		}
		l.Flush()
		if err := l.Sync(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Sync = %v after lines were lost, want ENOSPC", err)
		}
		d.Fail(nil)
		log.Info("it works again")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		const why = "write SystemLogs/2000-01-01.log: no space left on device"
		got := d.Files(".log")["SystemLogs/2000-01-01.log"]
		lost, end := losses(t, got, why)
		if !strings.HasSuffix(end, " 4 SMTP it works again\n") {
			t.Errorf("behind the losses the file ends with %q", end)
		}
		// Of each write that failed half is there, as on a disk that is just full.
		if whole := strings.Count(got, long+"\n"); lost != 5000-whole || whole == 5000 {
			t.Errorf("%d lines were lost, it says; %d of 5000 are there", lost, whole)
		}
		if len(complaints) != 1 || !strings.Contains(complaints[0].Error(), "the Server Log is not written: "+why) {
			t.Errorf("complaints: %v, want one", complaints)
		}
	})
}

// losses adds up how many lines were lost by what a log says, for a reason, and returns
// what stands behind the last record of losses.
func losses(t *testing.T, text, why string) (lost int, rest string) {
	t.Helper()
	record := regexp.MustCompile(`(?m)^[\d:.]{12} 1 SYSTEM (\d+) lines of the Server Log were lost: ` + why + "\n")
	rest = text
	for _, m := range record.FindAllStringSubmatchIndex(text, -1) {
		n, err := strconv.Atoi(text[m[2]:m[3]])
		if err != nil {
			t.Error(err)
		}
		lost, rest = lost+n, text[m[1]:]
	}
	return lost, rest
}

func TestFileOfACrashIsContinued(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, time.Now().Format("2006-01-02")+".log")
	if err := os.WriteFile(name, []byte("00:00:00.000 4 SMTP whole\n00:00:00.000 4 SMTP hal"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	l.Logger("SMTP").Info("next")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Logger("SMTP").Info("after Close: dropped")
	equal(t, "file", lines(t, dir, time.Now()), "4 SMTP whole", "4 SMTP hal", "4 SMTP next")
}

func TestOpenFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := serverlog.Open(above(t, dir), "file", serverlog.Options{}); err == nil {
		l.Close()
		t.Error("Open of a file = nil, want an error")
	}
}

// Many goroutines, more than the buffer holds, closed while some still write:
// what is in the file is whole lines, in the order of time.
func TestConcurrentLogging(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var wg sync.WaitGroup
	for g := range 8 {
		log := serverlog.Session(l.Logger("SMTP"), uint64(g+1), "example.com")
		wg.Go(func() {
			for i := range 2000 {
				log.Info(strings.Repeat("x", 200), "i", i)
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	n, last := 0, time.Time{}
	for line, err := range l.Tail(t.Context(), serverlog.Query{Last: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		if line.Time.Before(last) {
			t.Errorf("line %d is of %v, behind one of %v", n, line.Time, last)
		}
		last = line.Time
		n++
	}
	if n != 16000 {
		t.Errorf("%d lines in the file, want 16000", n)
	}
}

func texts(t *testing.T, seq iter.Seq2[serverlog.Line, error]) (list []string) {
	t.Helper()
	for line, err := range seq {
		if err != nil {
			t.Errorf("Tail: %v", err)
		}
		list = append(list, line.Text)
	}
	return list
}

func TestTailSelects(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		defer l.Close()
		smtp, smtpi := serverlog.Session(l.Logger("SMTP"), 7, "example.com"), l.Logger("SMTPI")
		smtp.Info("1")
		smtpi.Info("2", "id", 4711)
		time.Sleep(time.Until(midnight()))
		serverlog.Session(l.Logger("QUEUE"), 0, "[4711]").Error("3")
		second := time.Now()
		time.Sleep(2 * time.Hour)
		third := time.Now()
		smtp.Info("4", "id", 47110)
		smtpi.Log(t.Context(), serverlog.Major, "5")
		// A file that is not ours, one of the future, and what is no line.
		for name, text := range map[string]string{"notes.log": "x\n", "2100-01-01.log": "00:00:00.000 4 SMTP future\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			name  string
			query serverlog.Query
			want  string
		}{
			{"nothing", serverlog.Query{}, ""},
			{"all", serverlog.Query{Last: -1}, "1 2, id=4711 3 4, id=47110 5"},
			{"last", serverlog.Query{Last: 2}, "4 5"},
			{"last over midnight", serverlog.Query{Last: 4}, "2 3 4 5"},
			{"last, more than there are", serverlog.Query{Last: 100}, "1 2 3 4 5"},
			{"last of a component", serverlog.Query{Last: 1, Components: []string{"SMTP"}}, "4"},
			{"components", serverlog.Query{Last: -1, Components: []string{"SMTP", "QUEUE"}}, "1 3 4"},
			{"level", serverlog.Query{Last: -1, Level: serverlog.Major}, "3 5"},
			{"message", serverlog.Query{Last: -1, ID: 4711}, "2 3"},
			{"since", serverlog.Query{Last: -1, Since: third}, "4 5"},
			{"since, earlier", serverlog.Query{Last: -1, Since: second}, "3 4 5"},
			{"last since", serverlog.Query{Last: 1, Since: second}, "5"},
			{"since the future", serverlog.Query{Last: -1, Since: third.Add(time.Hour)}, ""},
		} {
			want := strings.NewReplacer(", id=47110", "", ", id=4711", "").Replace(tt.want)
			if got := strings.Join(texts(t, l.Tail(t.Context(), tt.query)), " "); got != want {
				t.Errorf("%s: got %q, want %q", tt.name, got, want)
			}
		}
		for line, err := range l.Tail(t.Context(), serverlog.Query{Last: -1}) { // break ends it
			if err != nil || line.Text != "1" {
				t.Errorf("first line %q", line)
			}
			break
		}
	})
}

func TestTailFollows(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		log := l.Logger("SMTP")
		log.Info("before")
		log.Info("last")
		got := make(chan string, 100)
		tail := func(ctx context.Context, q serverlog.Query) {
			for line, err := range l.Tail(ctx, q) {
				got <- fmt.Sprint(line.Text, err)
			}
			got <- "end"
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tail(ctx, serverlog.Query{Last: 1, Follow: true})
		want := func(texts ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range texts {
				select {
				case g := <-got:
					if g != w {
						t.Errorf("got line %q, want %q", g, w)
					}
				default:
					t.Errorf("no line, want %q", w)
				}
			}
			if len(got) > 0 {
				t.Errorf("another line: %q", <-got)
			}
		}
		want("last<nil>")
		log.Info("new")
		time.Sleep(time.Second)
		want("new<nil>")
		time.Sleep(time.Until(midnight()))
		log.Info("next day")
		time.Sleep(time.Second)
		want("next day<nil>")
		time.Sleep(49 * time.Hour) // two days without a line
		log.Info("later")
		time.Sleep(time.Second)
		want("later<nil>")
		cancel()
		want("end")
		go tail(t.Context(), serverlog.Query{Follow: true})
		synctest.Wait()
		log.Info("at the end")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		want("at the end<nil>", "end")
	})
}

// One who does not read on holds nobody up, and misses nothing.
func TestSlowReader(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	log := l.Logger("SMTP")
	next, stop := iter.Pull2(l.Tail(t.Context(), serverlog.Query{Follow: true, Last: -1}))
	defer stop()
	log.Info("0")
	if line, err, ok := next(); line.Text != "0" || err != nil || !ok {
		t.Fatalf("first line %q, %v, %v", line, err, ok)
	}
	const n = 20000 // several times the buffer
	for i := range n {
		log.Info(fmt.Sprint(i+1), "x", strings.Repeat("x", 200))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for i := range n {
		line, err, ok := next()
		if text, _, _ := strings.Cut(line.Text, ","); text != fmt.Sprint(i+1) || err != nil || !ok {
			t.Fatalf("line %d is %q, %v, %v", i+1, line, err, ok)
		}
	}
	if line, err, ok := next(); ok {
		t.Errorf("after the end: %q, %v", line, err)
	}
}

// Reading backward goes over blocks; every line is found whole.
func TestTailOverBlocks(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	defer l.Close()
	log := l.Logger("SMTP")
	for i := range 3000 {
		log.Info(fmt.Sprint(i), "x", strings.Repeat("x", i%500))
	}
	log.Info(strings.Repeat("\x00", 8000)) // a line of half a block
	for _, last := range []int{1, 2, 500, 1999, 3001} {
		first, n := "", 0
		for line, err := range l.Tail(t.Context(), serverlog.Query{Last: last}) {
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				first, _, _ = strings.Cut(line.Text, ",")
			}
			n++
		}
		if want := fmt.Sprint(3001 - last); n != last || last > 1 && first != want {
			t.Errorf("Last %d: %d lines from %q, want them from %q", last, n, first, want)
		}
	}
}
