package main

import (
	"bytes"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"testing"

	"cgq/bench/ring"
)

func ringAt(t *testing.T) (*ring.Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := ring.New(f, 1<<20)
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
