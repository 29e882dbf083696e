package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cgq/pkg/control"
)

// A mailroom takes messages in place of a daemon.
type mailroom struct {
	letters []control.Submission
	texts   []string
	refuse  *control.Error
	ends    chan struct{} // one for each that did not come to its end
}

func (r *mailroom) submit(_ context.Context, _ control.Actor, in control.Submission, body io.Reader) (control.Submitted, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		r.ends <- struct{}{}
		return control.Submitted{}, err
	}
	if r.refuse != nil {
		return control.Submitted{}, r.refuse
	}
	r.letters, r.texts = append(r.letters, in), append(r.texts, string(b))
	return control.Submitted{ID: 4711}, nil
}

// openMailroom returns a base directory where mail is taken till the test ends.
func openMailroom(t *testing.T) (*mailroom, string) {
	t.Helper()
	base, err := os.MkdirTemp("", "cgq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	return newMailroom(t, base), base
}

// newMailroom takes mail at the socket of a base directory till the test ends.
func newMailroom(t *testing.T, base string) *mailroom {
	t.Helper()
	l, err := control.Listen(filepath.Join(base, control.SubmitSocket))
	if err != nil {
		t.Fatal(err)
	}
	r := &mailroom{ends: make(chan struct{}, 10)}
	m := new(control.Mux)
	control.HandleUpload(m, control.MessageSubmit, r.submit)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// feed runs a command line with a text on its standard input; as is the name that the
// program has.
func feed(t *testing.T, base string, in io.Reader, as string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: in, out: &out, errOut: &errOut, now: func() time.Time { return now }, base: base}
	status := 0
	if as == "cgq" {
		status = a.run(t.Context(), args)
	} else {
		status = a.sendmail(t.Context(), as, args)
	}
	return result{out.String(), errOut.String(), status}
}

func TestParseSendmail(t *testing.T) {
	type sub = control.Submission
	for _, tt := range []struct {
		name, line string
		want       sendmailLine
	}{
		{"sendmail", "ann bob", sendmailLine{letter: letter{dots: true, Submission: sub{Recipients: toAll([]string{"ann", "bob"})}}}},
		{"sendmail", "-t -i", sendmailLine{letter: letter{Submission: sub{FromHeader: true}}}},
		{"sendmail", "-ti", sendmailLine{letter: letter{Submission: sub{FromHeader: true}}}},
		{"sendmail", "-itfann", sendmailLine{letter: letter{Submission: sub{FromHeader: true, ReturnPath: "ann"}}}},
		{"sendmail", "-oi -oem -odb -o i -bm -v", sendmailLine{letter: letter{verbose: true}}},
		{"sendmail", "-O IgnoreDots=True", sendmailLine{letter: letter{}}},
		{"sendmail", "-OIgnoreDots=false -OQueueLA=5", sendmailLine{letter: letter{dots: true}}},
		{"sendmail", "-FCronDaemon -B8BITMIME -oem root", sendmailLine{letter: letter{dots: true,
			Submission: sub{FullName: "CronDaemon", Body: "8BITMIME", Recipients: toAll([]string{"root"})}}}},
		{"sendmail", "-f ann@a.example -N success,failure -R hdrs -V QQ314", sendmailLine{letter: letter{dots: true,
			Submission: sub{ReturnPath: "ann@a.example", Notify: "success,failure", Return: "hdrs", EnvelopeID: "QQ314"}}}},
		{"sendmail", "-f -x@a.example -- -t -i", sendmailLine{letter: letter{dots: true,
			Submission: sub{ReturnPath: "-x@a.example", Recipients: toAll([]string{"-t", "-i"})}}}},
		{"sendmail", "-r <>", sendmailLine{letter: letter{dots: true, Submission: sub{ReturnPath: "<>"}}}},
		{"sendmail", "-f ''", sendmailLine{letter: letter{dots: true, Submission: sub{ReturnPath: "<>"}}}},
		{"sendmail", "-C /etc/x -L tag -X /tmp/log -h 5 -p ESMTP -Ac -G -U -n -m -x -s -d0.1 -em -MX -T3 -Dlog", sendmailLine{letter: letter{dots: true}}},
		{"sendmail", "--spool --base /x --base=/y", sendmailLine{base: "/y", letter: letter{dots: true, spool: true}}},
		{"sendmail", "-bp", sendmailLine{mode: modeQueue, letter: letter{dots: true}}},
		{"sendmail", "-bs -oi", sendmailLine{mode: modeSMTP}},
		{"sendmail", "-bi", sendmailLine{mode: modeNothing, letter: letter{dots: true}}},
		{"sendmail", "-I", sendmailLine{mode: modeNothing, letter: letter{dots: true}}},
		{"sendmail", "-q30m", sendmailLine{mode: modeNothing, letter: letter{dots: true}}},
		{"sendmail", "--help", sendmailLine{mode: modeHelp, letter: letter{dots: true}}},
		{"mailq", "-v", sendmailLine{mode: modeQueue, letter: letter{dots: true, verbose: true}}},
		{"newaliases", "", sendmailLine{mode: modeNothing, letter: letter{dots: true}}},
	} {
		args := strings.Fields(tt.line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "''", "")
		}
		if got, err := parseSendmail(tt.name, args); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: %+v, %v; want %+v", tt.name, tt.line, got, err, tt.want)
		}
	}
	for line, want := range map[string]string{
		"-bd": "the daemon is cgqd", "-bt": "cgq route", "-bz": "not known", "-z": "no option -z", "-tz": "no option -z",
		"-f": "-f needs a value", "ann -f x": `"-f" behind a recipient`, "--smtp": "no option --smtp", "--base": "no option --base",
	} {
		if _, err := parseSendmail("sendmail", strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("sendmail %s: %v, want %s", line, err, want)
		}
	}
}

func TestSubmitCommand(t *testing.T) {
	r, base := openMailroom(t)
	text := "Subject: x\n\na\n.\nb\n"
	got := feed(t, base, strings.NewReader(text), "cgq", "submit", "-t", "-f", "", "-F", "Ann", "-N", "never", "-R", "full", "-V", "e1", "bob", "--", "-x")
	want := control.Submission{ReturnPath: "<>", FullName: "Ann", FromHeader: true, Notify: "never", Return: "full", EnvelopeID: "e1",
		Recipients: toAll([]string{"bob", "-x"})}
	if got != (result{"4711\n", "", 0}) || !reflect.DeepEqual(r.letters, []control.Submission{want}) || r.texts[0] != text {
		t.Errorf("%+v: %+v %q; want %+v", got, r.letters, r.texts, want)
	}
	if got := feed(t, base, strings.NewReader(text), "cgq", "submit", "bob", "-o", "json"); got != (result{"{\"id\":4711}\n", "", 0}) {
		t.Errorf("%+v", got)
	}
	long := strings.Repeat("0123456789\n", 500_000)
	if got := feed(t, base, strings.NewReader(long), "cgq", "submit", "bob"); got.status != 0 || r.texts[len(r.texts)-1] != long {
		t.Errorf("%+v, %d bytes of %d", got, len(r.texts[len(r.texts)-1]), len(long))
	}
	for _, args := range [][]string{{"submit"}, {"submit", "-t", "--modul"}, {"submit", "-t", "-N", "always"}, {"submit", "-t", "-o", "xml"}} {
		if got := feed(t, base, strings.NewReader(text), "cgq", args...); got.status != exUsage || got.out != "" || !strings.HasPrefix(got.errOut, "cgq submit: ") {
			t.Errorf("%q: %+v, want status 64", args, got)
		}
	}
}

func TestSendmailCommand(t *testing.T) {
	r, base := openMailroom(t)
	for _, tt := range []struct{ line, in, want string }{
		{"ann", "a\n.\nb\n", "a\n"},
		{"ann", "a\r\n.\r\nb\n", "a\r\n"},
		{"ann", ".", ""},
		{"ann", "a.\n.\n", "a.\n"},
		{"ann", "..\n.x\n. \nb", "..\n.x\n. \nb"},
		{"-i ann", "a\n.\nb\n", "a\n.\nb\n"},
		{"ann", strings.Repeat("x", 65536) + ".\n" + strings.Repeat("x", 65536) + "\n.\ny", strings.Repeat("x", 65536) + ".\n" + strings.Repeat("x", 65536) + "\n"},
		{"ann", "", ""},
	} {
		for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			got := feed(t, base, in, "sendmail", strings.Fields(tt.line)...)
			if got != (result{}) || r.texts[len(r.texts)-1] != tt.want {
				t.Errorf("%s: %.60q: %+v, %.60q; want %.60q", tt.line, tt.in, got, r.texts, tt.want)
			}
		}
	}
	if got := feed(t, base, strings.NewReader(""), "sendmail", "-v", "ann"); got != (result{"", "sendmail: message 4711 is queued\n", 0}) {
		t.Errorf("%+v", got)
	}
	if got := feed(t, base, strings.NewReader(""), "cgq", "sendmail", "-v", "ann"); got != (result{"", "sendmail: message 4711 is queued\n", 0}) {
		t.Errorf("as a command: %+v", got)
	}
	n := len(r.texts)
	for _, line := range []string{"-bi", "-q", "-q15m", "-I"} {
		if got := feed(t, "/nowhere", iotest.ErrReader(errors.New("it was read")), "sendmail", line); got != (result{}) {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := feed(t, "/nowhere", nil, "newaliases"); got != (result{}) || len(r.texts) != n {
		t.Errorf("newaliases: %+v", got)
	}
	if got := feed(t, "/nowhere", nil, "sendmail", "--help"); got.status != 0 || !strings.HasPrefix(got.out, "usage: sendmail ") {
		t.Errorf("--help: %+v", got)
	}
}

func TestExitStatusOfSendmail(t *testing.T) {
	r, base := openMailroom(t)
	for _, tt := range []struct {
		kind   control.Kind
		code   string
		status int
		text   string
	}{
		{control.KindRefused, "5.1.1", exNoUser, "sendmail: message not sent: 5.1.1 no \\x1b[2J\n"},
		{control.KindRefused, "5.1.2", exNoUser, "5.1.2"},
		{control.KindRefused, "5.1.3", exDataErr, "5.1.3"},
		{control.KindRefused, "5.6.0", exDataErr, "5.6.0"},
		{control.KindRefused, "5.7.1", exNoPerm, "5.7.1"},
		{control.KindRefused, "5.3.4", exUnavailable, "5.3.4"},
		{control.KindLater, "4.3.1", exTempFail, "4.3.1"},
		{control.KindBadRequest, "", exUsage, "message not sent: no"},
		{control.KindNoRight, "", exNoPerm, "message not sent"},
		{control.KindFault, "", exTempFail, "message not sent"},
		{control.KindStopping, "", exTempFail, "message not sent"},
		{control.KindTooLarge, "", exDataErr, "message not sent"},
	} {
		r.refuse = control.Errorf(tt.kind, "", "no \x1b[2J")
		r.refuse.Code = tt.code
		got := feed(t, base, strings.NewReader("x\n"), "sendmail", "ann")
		if got.status != tt.status || !strings.Contains(got.errOut, tt.text) || got.out != "" || strings.Contains(got.errOut, "\x1b") {
			t.Errorf("%s %s: %+v, want status %d and %q", tt.kind, tt.code, got, tt.status, tt.text)
		}
	}
	r.refuse = nil
	for _, size := range []int{0, 10, 2 << 20} {
		got := feed(t, base, io.MultiReader(strings.NewReader(strings.Repeat("x\n", size/2)), iotest.ErrReader(errors.New("broken pipe"))), "sendmail", "ann")
		if got.status != exIOErr || !strings.Contains(got.errOut, "could not be read: broken pipe") || len(r.texts) > 0 {
			t.Errorf("%d bytes, then an error: %+v, %d taken", size, got, len(r.texts))
		}
	}
	got := feed(t, t.TempDir(), strings.NewReader("x\n"), "sendmail", "ann")
	if got.status != exTempFail || !strings.HasPrefix(got.errOut, "sendmail: cgqd is not running (socket /") ||
		!strings.HasSuffix(got.errOut, "/submit.sock): message not sent; try again later\n") {
		t.Errorf("no daemon: %+v", got)
	}
	if got := feed(t, t.TempDir(), nil, "mailq"); got.status != exTempFail || !strings.HasPrefix(got.errOut, "mailq: no daemon at ") {
		t.Errorf("no daemon: %+v", got)
	}
}

// Who is told to stop while the message is still made has sent nothing.
func TestInterruptedSubmit(t *testing.T) {
	r, base := openMailroom(t)
	for _, size := range []int{10, 3 << 20} {
		for _, args := range [][]string{{"ann"}, {"--spool", "--base", filepath.Join(base, "down"), "ann"}} {
			if err := os.MkdirAll(filepath.Join(base, "down"), 0o700); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			in, w := io.Pipe()
			go func() {
				_, _ = io.WriteString(w, strings.Repeat("x\n", size/2))
				cancel()
			}()
			var errOut bytes.Buffer
			a := &app{in: in, out: &errOut, errOut: &errOut, now: time.Now, base: base}
			if status := a.sendmail(ctx, "sendmail", args); status != exTempFail || errOut.String() != "sendmail: interrupted; message not sent\n" {
				t.Errorf("%d bytes: status %d, %s", size, status, errOut.String())
			}
			_ = w.Close()
			if size > ahead && len(args) == 1 {
				<-r.ends
			}
			left, _ := filepath.Glob(filepath.Join(base, "down", submittedDir, "*"))
			if len(r.texts) > 0 || len(left) > 0 {
				t.Errorf("%d bytes: %d taken, left are %q", size, len(r.texts), left)
			}
		}
	}
}

func TestSpool(t *testing.T) {
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ line, in, want string }{
		{"ann bob@b.example", "Subject: x\n\ntext\n", "Envelope-To: ann\nEnvelope-To: bob@b.example\nSubject: x\n\ntext\n"},
		{"-t -f bob@b.example", "To: ann\n\ntext\n.\nmore\n", "Return-Path: <bob@b.example>\nTo: ann\n\ntext\n"},
		{"-f <> -V e1 -t ann", "To: x\n\n", "Return-Path: <>\nEnvelope-ID: e1\nBcc: ann\nTo: x\n\n"},
		{"ann", "hello there\n", "Envelope-To: ann\n\nhello there\n"},
		{"ann", "\nTo: x\n", "Envelope-To: ann\n\nTo: x\n"},
		{"ann", "From x Mon\nTo: x\n\n", "Envelope-To: ann\nTo: x\n\n"},
		{"ann", "", "Envelope-To: ann\n\n"},
	} {
		base := t.TempDir()
		got := feed(t, base, strings.NewReader(tt.in), "sendmail", append([]string{"--spool"}, strings.Fields(tt.line)...)...)
		files, _ := filepath.Glob(filepath.Join(base, submittedDir, "*"))
		if len(files) != 1 || filepath.Ext(files[0]) != ".sub" || got.status != 0 || !strings.Contains(got.errOut, files[0]) {
			t.Errorf("%s: %+v, files %q", tt.line, got, files)
			continue
		}
		b, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		is, err := os.Stat(files[0])
		if !strings.HasPrefix(tt.want, "Return-Path: ") {
			tt.want = "Return-Path: <" + who.Username + ">\n" + tt.want
		}
		if err != nil || string(b) != tt.want || is.Mode().Perm() != 0o600 {
			t.Errorf("%s: %q, %v; want %q", tt.line, b, is.Mode(), tt.want)
		}
	}
	for _, args := range [][]string{{"-f", "a\nb", "ann"}, {"a\nBcc: b"}, {""}} {
		base := t.TempDir()
		got := feed(t, base, strings.NewReader(""), "sendmail", append([]string{"--spool"}, args...)...)
		if _, err := os.Stat(filepath.Join(base, submittedDir)); got.status != exUsage || err == nil {
			t.Errorf("%q: %+v, %v", args, got, err)
		}
	}
}

func TestSendmailTalksSMTP(t *testing.T) {
	r, base := openMailroom(t)
	talk := func(lines ...string) result {
		return feed(t, base, strings.NewReader(strings.Join(lines, "\r\n")+"\r\n"), "sendmail", "-bs")
	}
	got := talk("EHLO x", "MAIL FROM:<a@a.example> RET=HDRS ENVID=e+2B1 BODY=8BITMIME", "RCPT TO:<b@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@b.example",
		"RCPT TO:<-c@c.example>", "DATA", "Subject: x", "", "..", "y", ".", "MAIL FROM:<>", "RCPT TO:<d@d.example>", "DATA", ".", "QUIT")
	want := []control.Submission{
		{ReturnPath: "<a@a.example>", Return: "HDRS", EnvelopeID: "e+1", Body: "8BITMIME", Recipients: []control.SubmissionRcpt{
			{Address: "<b@b.example>", Notify: "SUCCESS,DELAY", Original: "rfc822;B@b.example"}, {Address: "<-c@c.example>"}}},
		{ReturnPath: "<>", Recipients: []control.SubmissionRcpt{{Address: "<d@d.example>"}}},
	}
	if got.status != 0 || !strings.Contains(got.out, "\r\n250 2.0.0 4711 message accepted for delivery\r\n") || !reflect.DeepEqual(r.letters, want) ||
		strings.Join(r.texts, "|") != "Subject: x\r\n\r\n.\r\ny\r\n|" {
		t.Errorf("%+v: %+v %q", got, r.letters, r.texts)
	}
	n := len(r.texts)
	if got := talk("HELO x", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "DATA", "half"); got.status != 0 || len(r.texts) != n {
		t.Errorf("without a dot: %+v", got)
	}
	r.refuse = control.Errorf(control.KindRefused, "", "no such user")
	r.refuse.Code = "5.1.1"
	if got := talk("HELO x", "MAIL FROM:<a@a.example>", "RCPT TO:<b@b.example>", "DATA", strings.Repeat("x\r\n", 1_000_000), ".", "NOOP", "QUIT"); got.status != 0 ||
		!strings.Contains(got.out, "554 5.1.1 no such user\r\n250") || !strings.Contains(got.out, "\r\n221 ") {
		t.Errorf("refused: %+v", got)
	}
	got = feed(t, t.TempDir(), strings.NewReader("HELO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"), "sendmail", "-bs")
	if !strings.Contains(got.out, "451 4.3.0 cgqd is not running") || !strings.Contains(got.out, "\r\n221 ") {
		t.Errorf("no daemon: %+v", got)
	}
}

func TestMailq(t *testing.T) {
	d := full()
	d.page.Recipients = append(d.page.Recipients, control.RecipientRow{Recipient: "z@example.com", LastError: hostile})
	d.show = nil
	golden(t, "mailq", cgq(t, d.serve(t), nil, "mailq"), []string{"mailq"})
	d = full()
	d.messages = nil
	golden(t, "mailq-empty", cgq(t, d.serve(t), nil, "sendmail", "-bp"), []string{"sendmail", "-bp"})
}
