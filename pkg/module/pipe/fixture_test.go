package pipe_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/moduletest"
	"cgq/pkg/module/pipe"
	"cgq/pkg/settings"
)

var _ module.Module = (*pipe.Module)(nil)

// A setup is a module with a base directory on the real disk.
type setup struct {
	*pipe.Module
	set  pipe.Deliver
	base string
	lent []string // what was lent, and not taken back
}

// lentText is what Lend gives.
const lentText = "envelope\n\ntext\n"

func newSetup(t *testing.T, log *slog.Logger) *setup {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &setup{base: t.TempDir(), set: pipe.Defaults()}
	s.set.TimeLimit = settings.Duration(time.Minute)
	if err := os.Mkdir(filepath.Join(s.base, "Programs"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Module = pipe.New(s.base, func() *pipe.Deliver { return &s.set }, s.lend, log)
	return s
}

func (s *setup) lend(id mail.ID) (string, func(), error) {
	name := id.String() + ".msg"
	s.lent = append(s.lent, name)
	back := func() {
		s.lent = nil
		_ = os.Remove(filepath.Join(s.base, name))
	}
	return name, back, os.WriteFile(filepath.Join(s.base, name), []byte(lentText), 0o600)
}

// program writes a program for sh, and returns its file.
func (s *setup) program(t *testing.T, name, script string) string {
	t.Helper()
	file := filepath.Join(s.base, "Programs", name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return file
}

// file is what a program has written in the base directory; "none": nothing.
func (s *setup) file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.base, name))
	if os.IsNotExist(err) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const hello = "Subject: hello\n\nbody\n"

// message is one to a command line, sent to ann+x@example.com.
func message(line string) *moduletest.Message {
	return &moduletest.Message{
		ID: 4711,
		Envelope: mail.Envelope{
			ReturnPath: mail.Address{Local: "bob", Domain: "sender.example"},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "ann+x", Domain: "example.com"}, Original: "rfc822;ann@old.example"}},
		},
		To:   []mail.Address{{Local: line, Domain: "pipe"}},
		Text: hello,
	}
}

// transfer gives a message to a program and returns what became of it.
func (s *setup) transfer(t *testing.T, m *moduletest.Message) mail.Result {
	t.Helper()
	q := moduletest.NewQueue("prog", m)
	s.Transfer(t.Context(), q)
	q.Check(t)
	if len(s.lent) > 0 {
		t.Errorf("lent and not taken back: %v", s.lent)
	}
	if r, ok := q.Delayed(); ok {
		return r
	}
	if r, ok := q.MessageDelayed(m.ID); ok {
		return r
	}
	return q.Results()[m.ID][0]
}

// is checks action, status and a part of the text.
func is(t *testing.T, what string, r mail.Result, action mail.Action, status, text string) {
	t.Helper()
	if r.Action != action || r.Status.String() != status || !strings.Contains(r.Text, text) {
		t.Errorf("%s: %s %s %q; want %s %s %q", what, r.Action, r.Status, r.Text, action, status, text)
	}
}
