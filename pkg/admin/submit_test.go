package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"cgq/pkg/admin"
	"cgq/pkg/control"
	"cgq/pkg/mail"
	"cgq/pkg/module"
)

// An office is an Enqueuer that keeps what it takes.
type office struct {
	envelopes []*mail.Envelope
	texts     []string
	refuse    error
}

func (o *office) Admit(context.Context, *mail.Envelope) error { return nil }

func (o *office) Check(context.Context, *mail.Envelope, mail.Recipient) error { return nil }

func (o *office) Submit(_ context.Context, env *mail.Envelope, text io.Reader) (mail.ID, error) {
	b, err := io.ReadAll(text)
	if err != nil {
		return 0, fmt.Errorf("message 1: receive: %w", err)
	}
	if o.refuse != nil {
		return 0, o.refuse
	}
	o.envelopes, o.texts = append(o.envelopes, env), append(o.texts, string(b))
	return mail.ID(len(o.texts)), nil
}

// open serves programs till the test ends, and returns the socket.
func (o *office) open(t *testing.T, set admin.SubmitSettings) (socket string) {
	t.Helper()
	base, err := os.MkdirTemp("", "cgq")
	if err == nil {
		err = os.Chmod(base, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	h := &house{socket: filepath.Join(base, control.SubmitSocket)}
	s := &admin.Submitter{Enqueuer: o, Rights: func(control.Actor) []control.Right { return nil }, Settings: func() *admin.SubmitSettings { return &set },
		MainDomain: func() string { return "main.example" }, Log: slog.New(slog.DiscardHandler)}
	h.serve(t, s.Mux(slog.New(slog.DiscardHandler)))
	return h.socket
}

func to(addresses ...string) (all []control.SubmissionRcpt) {
	for _, a := range addresses {
		all = append(all, control.SubmissionRcpt{Address: a})
	}
	return all
}

// own is the address of the user who runs the test.
func own(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username + "@main.example"
}

func TestSubmit(t *testing.T) {
	o := new(office)
	client := control.Dial(o.open(t, admin.SubmitDefaults()))
	me := own(t)
	for _, tt := range []struct {
		name string
		in   control.Submission
		text string
		env  string // from, then the recipients
	}{
		{"plain", control.Submission{Recipients: to("ann", "bob@b.example")}, "x\n", me + " ann@main.example bob@b.example"},
		{"a list in one", control.Submission{Recipients: to("Ann <ann@a.example>, bob")}, "x\n", me + " ann@a.example bob@main.example"},
		{"a return path", control.Submission{ReturnPath: "<carol@c.example>", Recipients: to("ann")}, "", "carol@c.example ann@main.example"},
		{"a return path with a name", control.Submission{ReturnPath: "Carol <carol@c.example>", Recipients: to("ann")}, "", "carol@c.example ann@main.example"},
		{"one without a domain", control.Submission{ReturnPath: "www-data", Recipients: to("ann")}, "", "www-data@main.example ann@main.example"},
		{"the null one", control.Submission{ReturnPath: "<>", Recipients: to("ann")}, "", "<> ann@main.example"},
		{"of the header", control.Submission{FromHeader: true}, "To: ann\nBcc: bob\n\n", me + " ann@main.example bob@main.example"},
		{"of both", control.Submission{FromHeader: true, Recipients: to("carol", "ann")}, "To: ann\n\n", me + " carol@main.example ann@main.example"},
		{"a hyphen", control.Submission{ReturnPath: "-x@c.example", Recipients: to("-f")}, "", "-x@c.example -f@main.example"},
		{"a shell's words", control.Submission{Recipients: to("`id`$HOME|&@a.example")}, "", me + " `id`$HOME|&@a.example"},
		{"a comment", control.Submission{Recipients: to("$(id)@a.example")}, "", me + " $@a.example"},
		{"UTF-8", control.Submission{Recipients: to("änn@a.example")}, "", me + " änn@a.example"},
	} {
		if _, err := control.MessageSubmit.Do(t.Context(), client, tt.in, strings.NewReader(tt.text)); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		env := o.envelopes[len(o.envelopes)-1]
		got := env.ReturnPath.String()
		for _, r := range env.Recipients {
			got += " " + r.Address.String()
		}
		if got != tt.env || env.Source != mail.PIPE || env.Auth != me || env.Domain != "main.example" || env.SMTPUTF8 != (tt.name == "UTF-8") {
			t.Errorf("%s: %q, %+v; want %q", tt.name, got, env, tt.env)
		}
		if text := o.texts[len(o.texts)-1]; strings.Contains(text, "Bcc") || !strings.Contains(text, "\nMessage-ID: <") {
			t.Errorf("%s: %q", tt.name, text)
		}
	}
	in := control.Submission{ReturnPath: "<>", FullName: "Ann E.", Recipients: []control.SubmissionRcpt{{Address: "ann", Original: "rfc822;Ann@b.example"},
		{Address: "bob", Notify: "NEVER"}}, Notify: "SUCCESS,DELAY", Return: "HDRS", EnvelopeID: "QQ 314", Body: "8BITMIME"}
	if _, err := control.MessageSubmit.Do(t.Context(), client, in, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	env := o.envelopes[len(o.envelopes)-1]
	if env.Return != mail.ReturnHeaders || env.EnvelopeID != "QQ 314" || env.Body != mail.Body8BitMIME ||
		env.Recipients[0].Notify != mail.NotifySuccess|mail.NotifyDelay || env.Recipients[0].Original != "rfc822;Ann@b.example" ||
		env.Recipients[1].Notify != mail.NotifyNever {
		t.Errorf("%+v", env)
	}
	if text := o.texts[len(o.texts)-1]; !strings.HasPrefix(text, "From: \"Ann E.\" <MAILER-DAEMON@main.example>\nDate: ") {
		t.Errorf("%q", text)
	}
}

func TestWhatIsNotSubmitted(t *testing.T) {
	o := new(office)
	set := admin.SubmitDefaults()
	set.MaxSize = 100_000
	client := control.Dial(o.open(t, set))
	many := make([]string, 10_001)
	for i := range many {
		many[i] = fmt.Sprintf("a%d", i)
	}
	for _, tt := range []struct {
		name string
		in   control.Submission
		text string
		kind control.Kind
		code string
	}{
		{"no address", control.Submission{Recipients: to("ann; rm -rf /")}, "", control.KindBadRequest, ""},
		{"a line end", control.Submission{Recipients: to("ann@a.example\nRCPT TO:<bob@b.example>")}, "", control.KindBadRequest, ""},
		{"empty", control.Submission{Recipients: to("")}, "", control.KindBadRequest, ""},
		{"a return path with a line end", control.Submission{ReturnPath: "a\n@a.example", Recipients: to("ann")}, "", control.KindBadRequest, ""},
		{"two return paths", control.Submission{ReturnPath: "<a@a.example>, <b@b.example>", Recipients: to("ann")}, "", control.KindBadRequest, ""},
		{"nobody", control.Submission{FromHeader: true}, "Subject: x\n\nTo: ann\n", control.KindBadRequest, ""},
		{"a NUL", control.Submission{FromHeader: true}, "To: ann\nSubject: \x00\n\n", control.KindRefused, "5.6.0"},
		{"no address in the header", control.Submission{FromHeader: true}, "To: Ann Example\n\n", control.KindRefused, "5.1.3"},
		{"too large", control.Submission{Recipients: to("ann")}, strings.Repeat("x", 100_001), control.KindRefused, "5.3.4"},
		{"too many", control.Submission{Recipients: to(many...)}, "", control.KindRefused, "5.5.3"},
	} {
		_, err := control.MessageSubmit.Do(t.Context(), client, tt.in, strings.NewReader(tt.text))
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != tt.kind || e.Code != tt.code {
			t.Errorf("%s: %v, want %s %s", tt.name, err, tt.kind, tt.code)
		}
	}
	for _, refuse := range []*module.Rejection{module.Reject(5, 1, 1, "no such user"), module.Reject(4, 3, 1, "the queue is full")} {
		o.refuse = refuse
		_, err := control.MessageSubmit.Do(t.Context(), client, control.Submission{Recipients: to("ann")}, strings.NewReader(""))
		e, _ := errors.AsType[*control.Error](err)
		if e == nil || e.Code != refuse.Result.Status.String() || e.Text != refuse.Result.Text || (e.Kind == control.KindLater) != (refuse.Result.Status[0] == 4) {
			t.Errorf("%v: %v", refuse, err)
		}
	}
	if len(o.texts) != 0 {
		t.Errorf("submitted: %q", o.texts)
	}
}

func TestWhoMaySubmit(t *testing.T) {
	ann, root := control.Actor{UID: 4711, Name: "ann"}, control.Actor{UID: 0, Name: "root"}
	for _, tt := range []struct {
		users   []string
		granted control.Right // by access.toml
		who     control.Actor
		want    bool
	}{
		{[]string{"*"}, "", ann, true}, {[]string{"bob", "ann"}, "", ann, true}, {[]string{"bob"}, "", ann, false}, {nil, "", ann, false},
		{nil, "", root, true}, {nil, control.Submit, ann, true}, {nil, control.Monitor, ann, false},
	} {
		s := &admin.Submitter{Rights: func(control.Actor) []control.Right { return []control.Right{tt.granted} }, Settings: func() *admin.SubmitSettings { return &admin.SubmitSettings{Users: tt.users} }}
		rights := s.Mux(nil).Grant(tt.who)
		if tt.want != slices.Equal(rights, []control.Right{control.Submit}) || !tt.want && len(rights) > 0 {
			t.Errorf("%s of %q: %v, want %v", tt.who.Name, tt.users, rights, tt.want)
		}
	}
	for _, s := range []admin.SubmitSettings{{MaxSize: 1}, {MaxSize: 1 << 20, Users: []string{""}}, {MaxSize: 1 << 20, ReturnPaths: []string{""}}} {
		if s.Validate() == nil {
			t.Errorf("%+v is in order", s)
		}
	}
}

// A user of the machine is who the system says, and has no return path but his own unless
// a setting says so.
func TestSubmitOfAnotherUser(t *testing.T) {
	if socket := os.Getenv("CGQ_TEST_SUBMIT"); socket != "" { // he
		for _, from := range []string{"", "<>", "nobody", "NOBODY@main.example", "root"} {
			_, err := control.MessageSubmit.Do(t.Context(), control.Dial(socket), control.Submission{ReturnPath: from, Recipients: to("ann")}, strings.NewReader(""))
			kind := control.Kind("taken")
			if err != nil {
				kind = control.KindFault
			}
			if e, ok := errors.AsType[*control.Error](err); ok {
				kind = e.Kind
			}
			fmt.Printf("<%s>", kind)
		}
		return
	}
	_, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("only root can be somebody else")
	}
	program := filepath.Join(t.TempDir(), "test")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, b, 0o755)
	}
	for dir := filepath.Dir(program); err == nil && dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		paths []string
		want  string
	}{
		{[]string{"*"}, "<taken><taken><taken><taken><taken>"},
		{[]string{"nobody"}, "<taken><taken><taken><taken><taken>"},
		{[]string{"ann"}, "<taken><taken><taken><no-right><no-right>"},
		{nil, "<taken><taken><taken><no-right><no-right>"},
	} {
		o := new(office)
		set := admin.SubmitDefaults()
		set.ReturnPaths = tt.paths
		cmd := exec.Command(program, "-test.run", "^TestSubmitOfAnotherUser$")
		cmd.Env = append(os.Environ(), "CGQ_TEST_SUBMIT="+o.open(t, set))
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), tt.want) {
			t.Errorf("%q: %v %s; want %s", tt.paths, err, out, tt.want)
		}
		for _, e := range o.envelopes {
			if e.Auth != "nobody@main.example" {
				t.Errorf("the sender is %q", e.Auth)
			}
		}
	}
}
