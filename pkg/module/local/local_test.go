package local_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/module"
	"cgq/pkg/module/local"
	"cgq/pkg/module/moduletest"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

func TestConformance(t *testing.T) {
	moduletest.Run(t, func(t *testing.T) moduletest.Fixture {
		s := newSetup(t, slog.New(slog.DiscardHandler), ann)
		return moduletest.Fixture{
			Module:      s,
			Good:        []mail.Address{ann, detail("one"), detail("two")},
			Foreign:     mail.Address{Local: "ann", Domain: "example.net"},
			Break:       func() { s.fs.fail(syscall.ENOSPC) },
			Mend:        func() { s.fs.fail(nil) },
			ExactlyOnce: true,
			Received: func() (all []moduletest.Arrival) {
				for _, text := range s.files(t, newDir+"*") {
					_, rest, _ := strings.Cut(text, "\nDelivered-To: ")
					to, _, _ := strings.Cut(rest, "\n")
					a, err := mail.ParseAddress(to)
					if err != nil {
						t.Errorf("Delivered-To of %q: %v", text, err)
					}
					all = append(all, moduletest.Arrival{To: []mail.Address{a}, Text: text})
				}
				return all
			},
		}
	})
}

func TestClaim(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann, mail.Address{Local: "postmaster", Domain: "example.com"})
	const rejected, foreign = "rejected", "foreign"
	for _, tt := range []struct{ in, queue, address string }{
		{"ann@example.com", "ann@example.com", "ann@example.com"},
		{"Ann@EXAMPLE.com", "ann@example.com", "Ann@example.com"},
		{"ann+x@example.com", "ann@example.com", "ann+x@example.com"},
		{"postmaster@example.com", "postmaster@example.com", "postmaster@example.com"},
		{"PostMaster@example.org", "postmaster@example.com", "PostMaster@example.com"}, // it has none of its own
		{"postmaster", "postmaster@example.com", "postmaster@example.com"},
		{"ann", foreign, ""},
		{"postmaster@example.net", foreign, ""},
		{"ann@example.net", foreign, ""},
		{"carl@example.com", rejected, ""},
		{"ann@example.org", rejected, ""},
		{"../example.org/ann@example.com", rejected, ""},
	} {
		for _, final := range []bool{false, true} {
			user, domain, _ := strings.Cut(tt.in, "@")
			got, err := s.Claim(t.Context(), mail.Address{Local: user, Domain: domain}, final)
			var no *module.Rejection
			switch tt.queue {
			case foreign:
				if !errors.Is(err, module.ErrNotMine) {
					t.Errorf("Claim(%s) = %v, %v; want ErrNotMine", tt.in, got, err)
				}
			case rejected:
				if !errors.As(err, &no) || no.Error() != "5.1.1 account unknown" || no.Result.Action != mail.Failed {
					t.Errorf("Claim(%s) = %v, %v; want 5.1.1 account unknown", tt.in, got, err)
				}
			default:
				if err != nil || got.Queue != tt.queue || got.Address.String() != tt.address || got.Relay {
					t.Errorf("Claim(%s) = %+v, %v; want queue %s, address %s", tt.in, got, err, tt.queue, tt.address)
				}
			}
		}
	}
}

func TestNoPostmasterAtAll(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	nobody := mail.Address{Local: "postmaster", Domain: "example.org"}
	var no *module.Rejection
	if r, err := s.Claim(t.Context(), nobody, false); !errors.As(err, &no) {
		t.Errorf("Claim = %v, %v; want a rejection", r, err)
	}
}

func TestStored(t *testing.T) {
	var b bytes.Buffer
	log, _ := serverlog.New(&b, "LOCAL", serverlog.Major)
	s := newSetup(t, log, ann)
	q := queue(false, detail("list"))
	s.Transfer(t.Context(), q)
	want := mail.Result{Action: mail.Delivered, Status: mail.Status{2, 0, 0}, Text: "Delivered to the user mailbox"}
	if got := result(t, q); got != want {
		t.Errorf("result %+v, want %+v", got, want)
	}
	files := s.files(t, "Domains/*/*/Maildir/*/*")
	for got, text := range files {
		if !strings.HasPrefix(got, newDir+"1795420800.M4711R") || !strings.HasSuffix(got, ".mx1") {
			t.Errorf("file %s, want time, id, recipient and spool in its name", got)
		}
		want := "Return-Path: <bob@sender.example>\nDelivered-To: ann+list@example.com\nSubject: hello\n\nbody\n"
		if text != want {
			t.Errorf("file is\n%s\nwant\n%s", text, want)
		}
	}
	if len(files) != 1 {
		t.Errorf("%d files, want one in new: %v", len(files), files)
	}
	if _, line, _ := strings.Cut(b.String(), " "); line != "2 LOCAL-000001(ann@example.com) [4711] stored, 21 bytes\n" {
		t.Errorf("log line %q", line)
	}
}

func TestNullReturnPath(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	q := moduletest.NewQueue("ann@example.com", &moduletest.Message{To: []mail.Address{ann}, Text: "x\n"})
	s.Transfer(t.Context(), q)
	for name, text := range s.files(t, newDir+"*") {
		if !strings.HasPrefix(text, "Return-Path: <>\n") {
			t.Errorf("%s is %q, want it to begin with the null return path", name, text)
		}
	}
}

// ann and ann+detail are two addresses of one Account; the same address twice is one.
func TestEachAddressGetsItsCopy(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	upper := mail.Address{Local: "ANN", Domain: "example.com"}
	q := queue(false, ann, detail("x"), upper)
	s.Transfer(t.Context(), q)
	q.Check(t)
	for i, r := range q.Results()[4711] {
		if r.Action != mail.Delivered {
			t.Errorf("recipient %d: %v %v, want delivered", i, r.Action, r)
		}
	}
	if files := s.files(t, newDir+"*"); len(files) != 2 {
		t.Errorf("%d copies, want 2: %v", len(files), files)
	}
}

func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status string
		text   string
	}{
		{syscall.ENOSPC, "4.3.1", "cannot store in the mailbox: no space left on device"},
		{syscall.EDQUOT, "4.2.2", "cannot store in the mailbox: disk quota exceeded"},
		{syscall.EIO, "4.3.0", "cannot store in the mailbox: input/output error"},
		{errors.New("Domains/secret"), "4.3.0", "cannot store in the mailbox"},
	} {
		var b bytes.Buffer
		log, _ := serverlog.New(&b, "LOCAL", serverlog.Failure)
		s := newSetup(t, log, ann)
		s.fs.fail(&fs.PathError{Op: "create", Path: "Domains/secret", Err: tt.err})
		q := queue(false, ann)
		s.Transfer(t.Context(), q)
		q.Check(t)
		got, ok := q.Delayed()
		if !ok || got.Action != mail.Delayed || got.Status.String() != tt.status || got.Text != tt.text {
			t.Errorf("%v: the queue is delayed %v with %v %q; want %s %q", tt.err, ok, got.Status, got.Text, tt.status, tt.text)
		}
		if line := b.String(); !strings.Contains(line, "[4711] cannot store the message: create Domains/secret") {
			t.Errorf("%v: log %q does not say which file", tt.err, line)
		}
	}
}

func TestAccountDeletedMeanwhile(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	if _, err := s.Claim(t.Context(), ann, false); err != nil {
		t.Fatal(err)
	}
	if err := s.dir.Delete(ann, false); err != nil {
		t.Fatal(err)
	}
	q := queue(false, ann)
	s.Transfer(t.Context(), q)
	want := mail.Result{Action: mail.Failed, Status: mail.Status{5, 1, 1}, Text: "account unknown"}
	if got := result(t, q); got != want {
		t.Errorf("result %+v, want it failed: 5.1.1 account unknown", got)
	}
	if files := s.files(t, "Domains/example.com/*"); len(files) != 0 {
		t.Errorf("the Account is back: %v", files)
	}
}

func TestQueueThatIsNoAccount(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	for _, name := range []string{"../ann@example.com", "ann", "a b", "ann@/etc"} {
		q := moduletest.NewQueue(name, &moduletest.Message{ID: 4711, To: []mail.Address{ann}, Text: "x\n"})
		s.Transfer(t.Context(), q)
		if got := result(t, q); got.Action != mail.Failed {
			t.Errorf("queue %q: %v, want failed", name, got)
		}
	}
}

func TestMissingMaildirIsMade(t *testing.T) {
	for _, missing := range []string{"tmp", "new", "."} {
		s := newSetup(t, slog.New(slog.DiscardHandler), ann)
		if err := os.RemoveAll(filepath.Join(s.at, "Domains/example.com/ann/Maildir", missing)); err != nil {
			t.Fatal(err)
		}
		q := queue(false, ann)
		s.Transfer(t.Context(), q)
		if got := result(t, q); got.Action != mail.Delivered {
			t.Errorf("without %s: %v %v, want delivered", missing, got.Action, got)
		}
		if files := s.files(t, newDir+"*"); len(files) != 1 {
			t.Errorf("without %s: %d files in new, want 1", missing, len(files))
		}
	}
}

// SPOOL L7: found in new or cur, it is delivered already.
func TestRepeatedIsFound(t *testing.T) {
	for _, tt := range []struct{ dir, flags string }{{"new", ""}, {"cur", ""}, {"cur", ":2,"}, {"cur", ":2,RS"}} {
		s := newSetup(t, slog.New(slog.DiscardHandler), ann)
		s.Transfer(t.Context(), queue(false, ann))
		for name := range s.files(t, newDir+"*") {
			to := strings.Replace(name, "/new/", "/"+tt.dir+"/", 1) + tt.flags
			if err := os.Rename(filepath.Join(s.at, name), filepath.Join(s.at, to)); err != nil {
				t.Fatal(err)
			}
		}
		q := queue(true, ann)
		s.Transfer(t.Context(), q)
		if got := result(t, q); got.Action != mail.Delivered {
			t.Errorf("%s, flags %q: %v %v, want delivered", tt.dir, tt.flags, got.Action, got)
		}
		if files := s.files(t, "Domains/*/*/Maildir/*/*"); len(files) != 1 {
			t.Errorf("%s, flags %q: files %v, want one", tt.dir, tt.flags, files)
		}
	}
}

// An attempt may end between link and the removal of the name in tmp: both are one
// file, which a new attempt must not empty.
func TestWhatIsLinkedIsNotWrittenAgain(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	s.Transfer(t.Context(), queue(false, ann))
	before := s.files(t, newDir+"*")
	for name := range before {
		tmp := strings.Replace(name, "/new/", "/tmp/", 1)
		if err := os.Link(filepath.Join(s.at, name), filepath.Join(s.at, tmp)); err != nil {
			t.Fatal(err)
		}
	}
	// Another text, so that writing it is seen.
	s.Transfer(t.Context(), moduletest.NewQueue("ann@example.com", &moduletest.Message{ID: 4711,
		Envelope: mail.Envelope{Submitted: submitted}, To: []mail.Address{ann}, Text: "something else\n"}))
	after := s.files(t, "Domains/*/*/Maildir/*/*")
	for name, text := range before {
		if len(after) != 1 || after[name] != text {
			t.Errorf("files are %v, want %v as it was", after, before)
		}
	}
}

// The spool that says how long a text is, and gives less, must not make us cut a message.
func TestShortTextIsNotStored(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	q := moduletest.NewQueue("ann@example.com", &moduletest.Message{ID: 4711, To: []mail.Address{ann}, Text: "x\n"})
	s.Transfer(t.Context(), shorten{q})
	if r, ok := q.MessageDelayed(4711); !ok || r.Status.String() != "4.3.0" {
		t.Errorf("message delayed %v with %v, want 4.3.0", ok, r)
	}
	if files := s.files(t, "Domains/*/*/Maildir/*/*"); len(files) != 0 {
		t.Errorf("stored: %v", files)
	}
}

func TestSettings(t *testing.T) {
	if err := local.Defaults().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	written, loaded := local.Defaults(), local.Settings{}
	written.Domains = []string{"example.com"}
	s := newSetup(t, slog.New(slog.DiscardHandler))
	if err := settings.WriteDefaults(s.fs, "Settings", settings.Section{Name: "local", Value: &written}); err != nil {
		t.Fatal(err)
	}
	err := settings.Load(s.fs, "Settings", settings.Section{Name: "local", Value: &loaded})
	if err != nil || !reflect.DeepEqual(loaded, written) {
		t.Errorf("written and loaded: %+v, %v; want %+v", loaded, err, written)
	}
	for _, tt := range []struct {
		name   string
		change func(*local.Settings)
		want   string
	}{
		{"upper case", func(s *local.Settings) { s.Domains = []string{"Example.com"} },
			`domains: "Example.com": write it in lower case: "example.com"`},
		{"not a domain", func(s *local.Settings) { s.Domains = []string{"a/b"} },
			`domains: "a/b": a local domain has letters a to z, digits and . - _ only`},
		{"twice", func(s *local.Settings) { s.Domains = []string{"a.b", "c", "a.b"} }, `domains: "a.b" is there twice`},
		{"no channels", func(s *local.Settings) { s.Channels = 0 }, "channels: 0 is not in 1 to 1000"},
		{"many queue channels", func(s *local.Settings) { s.QueueChannels = 21 },
			"queue_channels: 21 is not in 1 to 20, which is channels"},
		{"no retry", func(s *local.Settings) { s.Retry = nil }, "retry: want one wait at least"},
		{"short retry", func(s *local.Settings) { s.Retry = []settings.Duration{1e6} },
			"retry: 1ms is not in 1s to 1w"},
		{"long expire", func(s *local.Settings) { s.Expire = 5 * settings.Week }, "expire: 5w is not in 1m to 30d"},
	} {
		s := local.Defaults()
		tt.change(&s)
		if err := s.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Validate = %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestAnAccountIsExplained(t *testing.T) {
	s := newSetup(t, slog.New(slog.DiscardHandler), ann)
	for queue, want := range map[string]string{
		"ann@example.com": "into Domains/example.com/ann/Maildir, below the base directory",
		"bob@example.com": "there is no such Account any more: the next attempt fails for good",
	} {
		if got := s.Explain(t.Context(), queue); len(got.Notes) != 1 || got.Notes[0] != want || got.Way != "" {
			t.Errorf("%s: %+v, want %q", queue, got, want)
		}
	}
}
