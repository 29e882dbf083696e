package main

import (
	"bytes"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func ringAt(t *testing.T) (*ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := newRing(f, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return r, path
}

func listen(t *testing.T, s *server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go s.listen(l) //nolint:errcheck // ends with the listener
	return l.Addr().String()
}

func TestEveryCommitIsInTheLog(t *testing.T) {
	r, path := ringAt(t)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := r.commit(fmt.Appendf(nil, "<%d>", i)); err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if got := bytes.Count(text, fmt.Appendf(nil, "<%d>", i)); got != 1 {
			t.Errorf("<%d> is %d times in the log, want once", i, got)
		}
	}
}

func TestRingStartsOver(t *testing.T) {
	r, path := ringAt(t)
	part := make([]byte, 400<<10)
	for i := range 3 {
		part[0] = byte('a' + i)
		if err := r.commit(part); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) != 1<<20 || text[0] != 'c' || text[400<<10] != 'b' {
		t.Errorf("%d bytes, %q at 0, %q at 400 KiB; want a MiB, c, b", len(text), text[0], text[400<<10])
	}
}

func TestCommitFailsOnceTheLogFails(t *testing.T) {
	r, _ := ringAt(t)
	r.f.Close()
	for range 2 {
		if err := r.commit([]byte("x")); err == nil {
			t.Error("commit to a closed log = nil, want an error")
		}
	}
}

func TestMessageIsKeptBefore250AndSentOn(t *testing.T) {
	r, path := ringAt(t)
	last := newServer(r)
	last.queue = make(chan *message, 1)
	next := listen(t, last)

	r2, _ := ringAt(t)
	first := newServer(r2)
	first.queue = make(chan *message, 1)
	c, err := net.Dial("tcp", next)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go first.send(c) //nolint:errcheck // ends with the connection

	body := []byte("Subject: dots\r\n\r\n.one\r\n..two\r\n")
	if err := smtp.SendMail(listen(t, first), nil, "a@src.test", []string{"b@dst.test"}, body); err != nil {
		t.Fatal(err)
	}
	m := <-last.queue
	if m.from != "a@src.test" || m.rcpt != "b@dst.test" {
		t.Errorf("envelope = %q, %q; want a@src.test, b@dst.test", m.from, m.rcpt)
	}
	want := "Subject: dots\r\n\r\n..one\r\n...two\r\n.\r\n"
	if string(m.text) != want {
		t.Errorf("text = %q, want %q", m.text, want)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(kept, []byte(want)) {
		t.Errorf("the log starts %q, want %q", kept[:len(want)], want)
	}
}
