package enqueuer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/spool"
)

// A message that was in a file is durable before that is taken away, and in the kernel
// after it; if it cannot be, the next start has it.
func TestFilesAreTakenBetweenDurableAndHandedOut(t *testing.T) {
	for _, mode := range []string{"nobody", "anybody"} {
		for _, failed := range []error{nil, errors.New("read-only")} {
			d := crashdisk.New(-1)
			s := newSite(t, d)
			s.settings.Asynchronously = mode
			env, calls := from(mail.PIPE, "", "x@away.example"), 0
			env.Submission = "token"
			_, err := s.SubmitFile(t.Context(), env, strings.NewReader("Subject: file\n\n"), func() error {
				calls++
				if s.kernel.Len() != 0 || s.spool.Len() != 1 {
					t.Errorf("%s: %d in the kernel, %d in the spool; want 0 and 1", mode, s.kernel.Len(), s.spool.Len())
				}
				return failed
			})
			if errors.Is(err, module.ErrUnsettled) != (failed != nil) || calls != 1 {
				t.Errorf("%s: SubmitFile = %v after %d calls of taken, which said %v", mode, err, calls, failed)
			}
			if got := s.kernel.Len() == 1; got != (failed == nil) {
				t.Errorf("%s: in the kernel: %v, taken has said %v", mode, got, failed)
			}
			again := s.dies(t)
			if n := len(again.found.Messages); n != 1 || again.found.Messages[0].Envelope.Submission != "token" {
				t.Errorf("%s: the next start finds %+v", mode, again.found.Messages)
			}
		}
	}
}

// Nobody listens when a file is refused: its return path is told, if there is one.
func TestRefusedFiles(t *testing.T) {
	for _, tt := range []struct{ sender, want string }{{"sender@away.example", ""}, {"<>", "5.1.1 account unknown"}} {
		s := newSite(t, crashdisk.New(-1))
		env := from(mail.PIPE, "", "nobody@here.example")
		env.ReturnPath = address(tt.sender)
		_, err := s.SubmitFile(t.Context(), env, strings.NewReader("\n"), func() error { return nil })
		if got := fmt.Sprint(err); err == nil && tt.want != "" || err != nil && got != tt.want {
			t.Errorf("from %s: SubmitFile = %v, want %q", tt.sender, err, tt.want)
		}
	}
}

// A start hands a message that was in a file out when that is gone.
func TestResumeWaitsForTheFile(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	var token string
	var restored func()
	s.reclaim = func(submission string, then func()) { token, restored = submission, then }
	env := from(mail.PIPE, "", "x@away.example")
	env.Submission = "token"
	s.Resume(t.Context(), spool.Found{ID: 7, Envelope: env})
	if s.kernel.Len() != 0 || token != "token" {
		t.Errorf("%d in the kernel, %q is asked for", s.kernel.Len(), token)
	}
	restored()
	if s.kernel.Len() != 1 {
		t.Errorf("%d in the kernel when the file is gone", s.kernel.Len())
	}
}
