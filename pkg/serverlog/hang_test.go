package serverlog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
)

// A hanging disk answers when it may: at once, until hang is called, and then not before
// release is. With slow, each write takes that long.
type hanging struct {
	disk.FS
	mu   sync.Mutex
	gate chan struct{} // nil: open
	slow time.Duration
}

func (h *hanging) hang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

func (h *hanging) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.gate)
	h.gate = nil
}

func (h *hanging) wait() {
	h.mu.Lock()
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (h *hanging) Create(name string) (disk.File, error) {
	h.wait()
	f, err := h.FS.Create(name)
	return hangingFile{f, h}, err
}

func (h *hanging) Open(name string) (disk.File, error) {
	f, err := h.FS.Open(name)
	return hangingFile{f, h}, err
}

func (h *hanging) SyncDir(name string) error {
	h.wait()
	return h.FS.SyncDir(name)
}

type hangingFile struct {
	disk.File
	disk *hanging
}

func (f hangingFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.wait()
	time.Sleep(f.disk.slow)
	return f.File.WriteAt(p, off)
}

func (f hangingFile) Datasync() error {
	f.disk.wait()
	return f.File.Datasync()
}

// hangs runs test in a bubble, with a log on a disk that can hang.
func hangs(t *testing.T, test func(t *testing.T, l *serverlog.Log, h *hanging, text func() string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tree := crashdisk.NewTree(-1)
		h := &hanging{FS: tree}
		l, err := serverlog.Open(h, "SystemLogs", serverlog.Options{Level: serverlog.All})
		if err != nil {
			t.Fatal(err)
		}
		test(t, l, h, func() string { // all files, in order
			all := tree.Files(".log")
			return all["SystemLogs/2000-01-01.log"] + all["SystemLogs/2000-01-02.log"]
		})
	})
}

var kilobyte = strings.Repeat("x", 1000)

// A disk that does not answer for a minute costs who logs one second in all, and the
// lines for which there was no room; then the log says so.
func TestHangingDiskStopsNobody(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		log := l.Logger("SMTP")
		h.hang()
		log.Info("before")
		time.Sleep(time.Second / 2) // it is being written, since 100 ms after it came
		begin := time.Now()
		for range 5000 {
			log.Info(kilobyte)
		}
		if d := time.Since(begin); d != 600*time.Millisecond {
			t.Errorf("logging took %v, want 600ms: then the disk had been silent for a second", d)
		}
		begin = time.Now()
		for range 1000 {
			log.Error(kilobyte)
		}
		l.Flush()
		if d := time.Since(begin); d != 0 {
			t.Errorf("logging and Flush took %v on a disk that is known to hang", d)
		}
		time.Sleep(time.Minute)
		h.release()
		synctest.Wait()
		log.Info("after")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		first, rest, _ := strings.Cut(text(), "\n")
		if !strings.HasSuffix(first, "4 SMTP before") {
			t.Errorf("the first line is %q", first)
		}
		const record = " 1 SYSTEM %d lines of the Server Log were lost: the disk gave no answer from 00:00:00.100 on"
		second, rest, _ := strings.Cut(rest, "\n")
		written := strings.Count(rest, kilobyte)
		if want := fmt.Sprintf(record, 6000-written); !strings.HasSuffix(second, want) || written < 1000 {
			t.Errorf("the second line is %.200q, want %q", second, want)
		}
		if !strings.HasSuffix(rest, "4 SMTP after\n") {
			t.Errorf("the file ends with %q", rest[max(0, len(rest)-100):])
		}
	})
}

// Lines of level 0 have room of their own, and who writes one does not wait for a disk
// that is known to hang.
func TestCrashHasRoomOnAHangingDisk(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		log := l.Logger("SMTP")
		h.hang()
		begin := time.Now()
		log.Log(t.Context(), serverlog.Crash, "first")
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the first record of a crash took %v, want a second", d)
		}
		for range 2000 {
			log.Info(kilobyte)
		}
		begin = time.Now()
		for range 1000 {
			log.Log(t.Context(), serverlog.Crash, kilobyte+"!")
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("records of a crash took %v, want none", d)
		}
		h.release()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		got := text()
		lost, _ := losses(t, got, "the disk gave no answer from 00:00:00.000 on")
		crashes := strings.Count(got, "!\n")
		if crashes < 50 || crashes > 100 {
			t.Errorf("%d records of a crash are there, want some 60: the reserve", crashes)
		}
		if n := strings.Count(got, kilobyte+"\n"); lost != 3000-n-crashes {
			t.Errorf("%d lines were lost, it says; %d and %d of 3000 are there", lost, n, crashes)
		}
	})
}

// A burst is taken at the pace of a disk that goes on: nothing is lost.
func TestBurstWaitsForTheDisk(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		h.slow = 900 * time.Millisecond
		log := l.Logger("SMTP")
		for range 10_000 {
			begin := time.Now()
			log.Info(kilobyte)
			if d := time.Since(begin); d > time.Second {
				t.Fatalf("a line took %v", d)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(text(), "\n"); n != 10_000 {
			t.Errorf("%d lines, want 10000", n)
		}
	})
}

// Nobody waits for more than a second, although the disk goes on, and why is told.
func TestTooManyForTheDisk(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		h.slow = 900 * time.Millisecond
		log := l.Logger("SMTP")
		var longest atomic.Int64
		var all sync.WaitGroup
		for range 5000 {
			all.Go(func() {
				begin := time.Now()
				log.Info(kilobyte)
				for d := int64(time.Since(begin)); ; {
					if was := longest.Load(); was >= d || longest.CompareAndSwap(was, d) {
						return
					}
				}
			})
		}
		all.Wait()
		if d := time.Duration(longest.Load()); d != time.Second {
			t.Errorf("a line took %v, want a second at the most", d)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		lost, _ := losses(t, text(), "the disk takes less than is logged")
		if n := strings.Count(text(), kilobyte); lost != 5000-n || lost == 0 {
			t.Errorf("%d lines were lost, it says; %d of 5000 are there", lost, n)
		}
	})
}

// A new day's file that cannot be made hangs as a write does.
func TestDiskHangsAtMidnight(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		log := l.Logger("SMTP")
		time.Sleep(time.Until(midnight()))
		h.hang()
		log.Info("new day")
		time.Sleep(2 * time.Second)
		begin := time.Now()
		for range 2000 {
			log.Info(kilobyte)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("logging took %v, want none", d)
		}
		h.release()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		lost, _ := losses(t, text(), "the disk gave no answer from 00:00:00.100 on")
		if n := strings.Count(text(), kilobyte); lost != 2000-n || lost == 0 {
			t.Errorf("%d lines were lost, it says; %d of 2000 are there", lost, n)
		}
	})
}

// A stop ends, whatever the disk does.
func TestCloseAndSyncEndOnAHangingDisk(t *testing.T) {
	hangs(t, func(t *testing.T, l *serverlog.Log, h *hanging, text func() string) {
		l.Logger("SMTP").Info("the last")
		h.hang()
		for what, f := range map[string]func() error{"Sync": l.Sync, "Close": l.Close} {
			begin := time.Now()
			if err := f(); err == nil {
				t.Errorf("%s = nil on a disk that hangs", what)
			}
			if d := time.Since(begin); d != 5*time.Second {
				t.Errorf("%s took %v, want 5s", what, d)
			}
		}
		h.release()
		if err := l.Close(); err != nil {
			t.Errorf("Close when the disk is back = %v", err)
		}
		if !strings.HasSuffix(text(), "4 SMTP the last\n") {
			t.Errorf("the file is %q", text())
		}
	})
}

// What is no file of ours is left alone, is waited for by nobody, and is complained of once.
func TestNoLinkIsFollowed(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(name, outside string) error
	}{
		{"link", func(name, outside string) error { return os.Symlink(outside, name) }},
		{"FIFO", func(name, _ string) error { return syscall.Mkfifo(name, 0o600) }},
		{"directory", func(name, _ string) error { return os.Mkdir(name, 0o700) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := t.TempDir()
			dir, outside := filepath.Join(base, "SystemLogs"), filepath.Join(base, "outside")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(outside, []byte("of another\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				if err := tt.make(filepath.Join(dir, "2000-01-01.log"), outside); err != nil {
					t.Fatal(err)
				}
				var complaints []error
				l, err := serverlog.Open(above(t, dir), "SystemLogs", serverlog.Options{Level: serverlog.All,
					Complain: func(err error) { complaints = append(complaints, err) }})
				if err != nil {
					t.Fatal(err)
				}
				log := l.Logger("SMTP")
				log.Error("lost")
				log.Error("lost, too")
				if got := texts(t, l.Tail(t.Context(), serverlog.Query{Last: -1})); len(got) > 0 {
					t.Errorf("tail %q, want nothing", got)
				}
				time.Sleep(time.Until(midnight()))
				next := time.Now()
				log.Info("it works again")
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				equal(t, "the next day", lines(t, dir, next),
					"1 SYSTEM 2 lines of the Server Log were lost: open SystemLogs/2000-01-01.log: not a regular file",
					"4 SMTP it works again")
				if len(complaints) != 1 || !strings.Contains(complaints[0].Error(), "not a regular file") {
					t.Errorf("complaints: %v, want one", complaints)
				}
				if got := texts(t, l.Tail(t.Context(), serverlog.Query{Last: -1})); len(got) != 2 {
					t.Errorf("tail of both days %q, want two lines", got)
				}
			})
			if text, err := os.ReadFile(outside); err != nil || string(text) != "of another\n" {
				t.Errorf("behind the link: %q, %v", text, err)
			}
		})
	}
}

// Who follows a log without a file sees it when there is one.
func TestTailWaitsForAFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(dir, "2000-01-01.log")
		if err := os.Symlink("nowhere", name); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir)
		got := make(chan string, 10)
		go func() {
			for line, err := range l.Tail(t.Context(), serverlog.Query{Follow: true}) {
				got <- fmt.Sprint(line.Text, err)
			}
			close(got)
		}()
		l.Logger("SMTP").Error("lost")
		synctest.Wait()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		l.Logger("SMTP").Error("found")
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-got // of what was lost
		if text := <-got; text != "found<nil>" {
			t.Errorf("line %q, want what was written when there was a file", text)
		}
	})
}

// A file that somebody made shorter, because the disk was full, is continued at its end.
func TestShortenedFileIsContinued(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	log := l.Logger("SMTP")
	today := time.Now()
	log.Info(kilobyte)
	l.Flush()
	if err := os.Truncate(filepath.Join(dir, today.Format("2006-01-02")+".log"), 0); err != nil {
		t.Fatal(err)
	}
	log.Info("next")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	equal(t, "file", lines(t, dir, today), "4 SMTP next")
}
