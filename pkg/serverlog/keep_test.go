package serverlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk"
	"cgq/pkg/serverlog"
)

// logFiles are the names in a directory.
func logFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, strings.TrimSuffix(e.Name(), ".log"))
	}
	return names
}

// old makes the file of a day, n bytes long.
func old(t *testing.T, dir, name string, n int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", n)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Files go with their last line's age, or when all are too large; today's stays, and so does what
// is no log of ours.
func TestOldFilesAreRemoved(t *testing.T) {
	for _, tt := range []struct {
		name string
		keep serverlog.Keep
		want []string
	}{
		{"for ever", serverlog.Keep{}, []string{"1999-12-01", "1999-12-29", "1999-12-30", "1999-12-31", "2000-01-01"}},
		{"two days", serverlog.Keep{Age: 48 * time.Hour}, []string{"1999-12-30", "1999-12-31", "2000-01-01"}},
		{"2500 bytes", serverlog.Keep{Size: 2500}, []string{"1999-12-30", "1999-12-31", "2000-01-01"}},
		{"none", serverlog.Keep{Size: 1}, []string{"2000-01-01"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, day := range []string{"1999-12-01", "1999-12-29", "1999-12-30", "1999-12-31"} {
				old(t, dir, day+".log", 1000)
			}
			for _, name := range []string{"1999-12-01.log.gz", "1999-13-01.log", "notes.log", "2031-01-01.log"} {
				old(t, dir, name, 10)
			}
			if err := os.Mkdir(filepath.Join(dir, "1999-11-11.log"), 0o700); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { // it is 2000-01-01
				time.Sleep(12 * time.Hour) // wherever we are
				l, err := serverlog.Open(above(t, dir), filepath.Base(dir), serverlog.Options{Keep: tt.keep})
				if err != nil {
					t.Fatal(err)
				}
				l.Logger("SYSTEM").Error("begun")
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
			want := append([]string{"1999-11-11", "1999-12-01.log.gz", "1999-13-01"}, "2031-01-01", "notes")
			got := logFiles(t, dir)
			for _, name := range append(want, tt.want...) {
				if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+name+"\n") {
					t.Errorf("%s is not there", name)
				}
			}
			if len(got) != len(want)+len(tt.want) {
				t.Errorf("there are %q, want %q and %q", got, want, tt.want)
			}
		})
	}
}

// Who follows the log over many midnights, while old files are removed, has every line once.
func TestTailOverMidnightsAndRemovals(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := serverlog.Open(above(t, dir), filepath.Base(dir), serverlog.Options{Level: serverlog.All, Keep: serverlog.Keep{Age: 24 * time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		log := l.Logger("SMTP")
		const n = 4000
		var ended [3]chan error
		for i, q := range []serverlog.Query{{Last: 0, Follow: true}, {Last: -1, Since: time.Now(), Follow: true}, {Last: n, Follow: true, ID: 7}} {
			ended[i] = make(chan error, 1)
			go func() {
				next := 0
				for line, err := range l.Tail(context.Background(), q) {
					if err == nil && line.Text != fmt.Sprintf("line, n=%d", next) {
						err = fmt.Errorf("%q where %d comes", line.Text, next)
					}
					if err != nil {
						ended[i] <- err
						return
					}
					if next++; next%1000 == 0 {
						time.Sleep(30 * time.Hour) // who pages through it
					}
				}
				if next != n {
					ended[i] <- fmt.Errorf("%d lines, want %d", next, n)
				}
				ended[i] <- nil
			}()
		}
		synctest.Wait()
		for i := range n { // eight days; many lines a moment, right before and after each midnight, too
			log.Info("line", "id", 7, "n", i)
			if i%50 == 0 {
				time.Sleep(2*time.Hour + 24*time.Minute)
			}
			if i%7 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Second)
		if got := logFiles(t, dir); len(got) > 3 {
			t.Errorf("%q are there, want three days at most", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for i, ended := range ended {
			if err := <-ended; err != nil {
				t.Errorf("reader %d: %v", i, err)
			}
		}
	})
}

// What is older than Since is not shown, in whatever file it is.
func TestTailSince(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, dir)
		defer l.Close()
		log := l.Logger("SMTP")
		time.Sleep(time.Until(midnight()) - 30*time.Minute)
		for i := range 6 { // each ten minutes, from half past eleven on
			log.Info(fmt.Sprint(i))
			time.Sleep(10 * time.Minute)
		}
		for since, want := range map[time.Duration]string{5 * time.Minute: "", 10 * time.Minute: "5", 35 * time.Minute: "3 4 5", 45 * time.Minute: "2 3 4 5", 240 * time.Hour: "0 1 2 3 4 5"} {
			got := strings.Join(texts(t, l.Tail(t.Context(), serverlog.Query{Last: -1, Since: time.Now().Add(-since)})), " ")
			if got != want {
				t.Errorf("since %v: %q, want %q", since, got, want)
			}
		}
	})
}

// A directory that is not read keeps old files, not the log from being written.
func TestRemovalThatFails(t *testing.T) {
	dir := t.TempDir()
	old(t, dir, "1999-12-01.log", 1)
	fsys := above(t, dir)
	complaints := make(chan error, 10)
	l, err := serverlog.Open(&noRemoval{fsys}, filepath.Base(dir), serverlog.Options{Keep: serverlog.Keep{Age: time.Hour},
		Complain: func(err error) { complaints <- err }})
	if err != nil {
		t.Fatal(err)
	}
	l.Logger("SMTP").Error("written")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if len(complaints) != 1 {
		t.Fatalf("%d complaints, want one", len(complaints))
	}
	if err := <-complaints; !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// noRemoval is a disk that takes no file away.
type noRemoval struct{ *disk.OS }

func (*noRemoval) Remove(string) error { return os.ErrPermission }
