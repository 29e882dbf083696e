package serverlog_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/serverlog"
)

// A rig is a log whose clock somebody sets, with those who follow it.
type rig struct {
	*testing.T
	dir  string
	log  *serverlog.Log
	at   time.Time
	next int
	ends []<-chan error
}

// write writes lines, a few in a moment, then lets all come to rest.
func (r *rig) write(n int) {
	r.Helper()
	h := r.log.Logger("SMTP").Handler()
	for range n {
		rec := slog.NewRecord(r.at, serverlog.Major, fmt.Sprint("line ", r.next), 0)
		if err := h.Handle(context.Background(), rec); err != nil {
			r.Fatal(err)
		}
		r.next++
		r.at = r.at.Add(time.Millisecond)
	}
	r.log.Flush()
	synctest.Wait()
}

// follow begins to follow, and holds each line against what comes next.
func (r *rig) follow(q serverlog.Query, next int) {
	ended := make(chan error, 1)
	r.ends = append(r.ends, ended)
	go func() {
		for line, err := range r.log.Tail(context.Background(), q) {
			if want := fmt.Sprint("line ", next); err == nil && line.Text != want {
				err = fmt.Errorf("%s, want %s", line.Text, want)
			}
			if err != nil {
				ended <- err
				return
			}
			next++
		}
		if next != r.next {
			ended <- fmt.Errorf("%d lines, want %d", next, r.next)
		}
		close(ended)
	}()
	synctest.Wait()
}

func (r *rig) file() string { return filepath.Join(r.dir, r.at.Format("2006-01-02")+".log") }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// fates are what becomes of a file, and of the clock.
var fates = []struct {
	name string
	do   func(*rig)
}{
	{"midnight", func(r *rig) { r.at = r.at.AddDate(0, 0, 1) }},
	{"days later", func(r *rig) { r.at = r.at.AddDate(0, 0, 5) }},
	{"set back", func(r *rig) { r.at = r.at.Add(-time.Hour) }},
	{"set back over midnight", func(r *rig) { r.at = r.at.AddDate(0, 0, -2) }},
	{"wrong for a moment", func(r *rig) {
		was := r.at
		r.at = r.at.AddDate(10, 0, 0)
		r.write(3)
		r.at = was
	}},
	{"moved", func(r *rig) { r.must(os.Rename(r.file(), filepath.Join(r.dir, fmt.Sprint("old.", r.next)))) }},
	{"removed", func(r *rig) { r.must(os.Remove(r.file())) }},
	{"another in its place", func(r *rig) {
		r.must(os.WriteFile(r.file()+".new", []byte("12:00:00.000 2 SMTP of another\n"), 0o600))
		r.must(os.Rename(r.file()+".new", r.file()))
	}},
	{"emptied", func(r *rig) { r.must(os.Truncate(r.file(), 0)) }},
	{"shortened", func(r *rig) {
		text, err := os.ReadFile(r.file())
		r.must(err)
		within := bytes.LastIndexByte(text[:len(text)/2], '\n') + 6 // a line
		r.must(os.Truncate(r.file(), int64(min(within, len(text)))))
	}},
	{"copied and emptied", func(r *rig) { // logrotate: copytruncate
		from, err := os.Open(r.file())
		r.must(err)
		to, err := os.Create(filepath.Join(r.dir, fmt.Sprint("copy.", r.next)))
		r.must(err)
		_, err = io.Copy(to, from)
		r.must(err)
		r.must(os.Truncate(r.file(), 0))
		from.Close()
		to.Close()
	}},
	{"the directory removed", func(r *rig) { r.must(os.RemoveAll(r.dir)) }},
}

func newRig(t *testing.T, dir string) *rig {
	r := &rig{T: t, dir: filepath.Join(dir, "log"), at: time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local)}
	r.log = open(t, r.dir)
	return r
}

func (r *rig) done(what string) {
	r.Helper()
	if err := r.log.Close(); err != nil {
		r.Errorf("%s: %v", what, err)
	}
	for i, ended := range r.ends {
		if err := <-ended; err != nil {
			r.Errorf("%s: follower %d: %v", what, i, err)
		}
	}
}

// Who follows a log has every line once, whatever becomes of its files and of the clock.
func TestFollowersMissAndRepeatNothing(t *testing.T) {
	for _, fate := range fates {
		t.Run(fate.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, dir)
				r.write(100)
				r.follow(serverlog.Query{Last: 30, Follow: true}, 70)
				for range 3 {
					fate.do(r)
					r.follow(serverlog.Query{Follow: true}, r.next)
					r.write(50)
					r.follow(serverlog.Query{Last: 10, Follow: true}, r.next-10)
					r.write(1)
					r.write(1)
				}
				r.done(fate.name)
			})
		})
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(11, 25))
		r := newRig(t, dir)
		r.write(1)
		told := ""
		for i := range 80 {
			r.follow(serverlog.Query{Follow: true}, r.next)
			r.write(1 + random.IntN(200))
			fate := fates[random.IntN(len(fates))]
			told += fmt.Sprintf("%d: %s at line %d\n", i, fate.name, r.next)
			fate.do(r)
			r.write(1) // so that something is there for the next
		}
		r.done("all of them")
		if t.Failed() {
			t.Log(told)
		}
	})
}
