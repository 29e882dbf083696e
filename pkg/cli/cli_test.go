package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cgq/pkg/control"
)

var errLate = errors.New("journal on fire")

// An exitCase is a command line with the status that it ends with.
type exitCase struct {
	name, line string
	change     func(*daemon)
	status     int
	says       string // on stderr; empty: nothing
}

func runExitCases(t *testing.T, cases []exitCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			d := full()
			if tt.change != nil {
				tt.change(d)
			}
			got := cgq(t, d.serve(t), nil, strings.Fields(tt.line)...)
			if got.status != tt.status || !strings.Contains(got.errOut, tt.says) || (tt.says == "") != (got.errOut == "") {
				t.Errorf("cgq %s: status %d, stderr %q; want %d, %q", tt.line, got.status, got.errOut, tt.status, tt.says)
			}
			if got.errOut != "" && !strings.Contains(got.errOut, "cgq: ") {
				t.Errorf("stderr %q has no line that begins with cgq:", got.errOut)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	runExitCases(t, []exitCase{
		{"no such command", "queue eat", nil, exitUsage, `no command "eat"`},
		{"nearly a command", "queue lst", nil, exitUsage, "did you mean list?"},
		{"a command is missing", "queue", nil, exitUsage, "a command is missing"},
		{"no such flag", "queue list --modul SMTP", nil, exitUsage, "--modul"},
		{"no such form", "queue list -o xml", nil, exitUsage, "jsonl"},
		{"no such column", "queue list --columns size", nil, exitUsage, "bytes"},
		{"no such column in csv", "queue list -o csv --columns size", nil, exitUsage, "bytes"},
		{"no such column in a page", "queue show SMTP example.com -o json --columns size", nil, exitUsage, "bytes"},
		{"columns of the log", "log tail --columns line", nil, exitUsage, "jsonl"},
		{"no such state", "queue list --state late", nil, exitUsage, "delayed"},
		{"half a queue", "queue show SMTP", nil, exitUsage, "a module and a name"},
		{"half a queue to release", "queue release SMTP", nil, exitUsage, "SMTP example.com"},
		{"nothing to release", "queue release", nil, exitUsage, "--all-delayed"},
		{"one queue and all", "queue release SMTP a --all-delayed", nil, exitUsage, "or use flags"},
		{"no reason", "queue reject SMTP a", nil, exitUsage, "--text"},
		{"nothing to reject", "message reject --text x", nil, exitUsage, "--all"},
		{"all, and some", "message reject 1 --all --text x", nil, exitUsage, "a selection that narrows it"},
		{"not an id", "message show x", nil, exitUsage, `"x" is not the id`},
		{"no message", "message show 0", nil, exitUsage, `"0" is not the id`},
		{"not an address", "account create a@b@c", nil, exitUsage, "a@b@c"},
		{"no domain", "account create ann", nil, exitUsage, "has no domain"},
		{"not a level", "log tail --level 6", nil, exitUsage, "All Info"},
		{"both kinds of stat", "stat --listeners a", nil, exitUsage, "--listeners"},
		{"no such shell", "completion csh", nil, exitUsage, "csh"},
	})
}

func TestExitStatus(t *testing.T) {
	nothing := func(d *daemon) { d.outcome, d.queues = control.Outcome{}, nil }
	answer := func(out control.Outcome) func(*daemon) { return func(d *daemon) { d.outcome = out } }
	rights := func(rights ...control.Right) func(*daemon) { return func(d *daemon) { d.rights = rights } }
	runExitCases(t, []exitCase{
		{"done", "queue list", nil, exitDone, ""},
		{"failed", "queue list", func(d *daemon) { d.queues, d.err = nil, errLate }, exitFailed, "cgq: journal on fire\n"},

		{"nothing there", "queue list", nothing, exitDone, ""},
		{"nothing there, and that matters", "queue list --fail-empty", nothing, exitEmpty, "nothing matches"},
		{"nothing delayed", "queue release --all-delayed --yes", nothing, exitDone, ""},
		{"nothing delayed, and it matters", "queue release --all-delayed -y --fail-empty", nothing, exitEmpty, "nothing"},
		{"no such queue", "queue show SMTP a", nothing, exitFailed, "cgq: no queue SMTP(a)\n"},
		{"no such queue, and that matters", "queue show SMTP a --fail-empty", nothing, exitEmpty, "no queue"},
		{"no such queue to release", "queue release smtp a", nothing, exitFailed, "no queue SMTP(a); see cgq queue list\n"},
		{"no such queue to reject", "queue reject SMTP a --text x", nothing, exitFailed, "no queue SMTP(a)"},
		{"no such message", "message show 1", nil, exitFailed, "no message 1"},
		{"no such message to reject", "message reject 1 --text x", nothing, exitFailed, "no message 1"},

		{"no right", "queue release SMTP a", rights(control.Monitor), exitNoRight, `"release"`},
		{"no right to look", "queue list", rights(), exitNoRight, `"monitor"`},
		{"partly", "queue reject SMTP a --text x",
			answer(control.Outcome{Matched: 4, Changed: 3, Skipped: 1, Messages: 1}), exitPartly, ""},
		{"not at all", "queue reject SMTP a --text x",
			answer(control.Outcome{Matched: 1, Skipped: 1, Messages: 1}), exitFailed, "nothing could be rejected"},
		{"not confirmed", "queue reject SMTP a --text x", answer(control.Outcome{Matched: 980, Changed: 980, Messages: 412}),
			exitNotConfirmed, "980 recipients in 412 messages would be rejected; add --yes"},
	})
}

func TestWithoutADaemon(t *testing.T) {
	base := t.TempDir()
	if got := cgq(t, base, nil, "queue", "list"); got.status != exitNoDaemon || !strings.Contains(got.errOut, "--base or $CGQ_BASE names another place") {
		t.Errorf("in a directory of nothing: %+v", got)
	}
	if err := os.Mkdir(filepath.Join(base, "Settings"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"queue list", "queue list -o json", "queue show SMTP a", "message show 1",
		"queue release SMTP a", "queue reject SMTP a --text x", "log tail -f", "account list", "stat"} {
		got := cgq(t, "", nil, append(strings.Fields(line), "--base", base)...)
		if got.status != exitNoDaemon || got.out != "" || !strings.HasPrefix(got.errOut, "cgq: ") ||
			!strings.HasSuffix(got.errOut, "start it with: cgqd --base "+base+"\n") {
			t.Errorf("%s: %+v; want status 7 and how to start the daemon", line, got)
		}
	}
	got := cgq(t, base, nil, "version", "-o", "json")
	if got.status != exitDone || strings.Contains(got.out, "daemon") {
		t.Errorf("version: %+v; want the version of cgq alone", got)
	}
}

func TestASocketThatMayNotBeOpened(t *testing.T) {
	err := &fs.PathError{Op: "connect", Path: "control.sock", Err: fs.ErrPermission}
	if got := exit(err, false); got != exitNoRight {
		t.Errorf("status %d, want %d", got, exitNoRight)
	}
	if text := new(app).explain(err); !strings.Contains(text, "run it as root") {
		t.Errorf("%q does not say what to do", text)
	}
}

func TestBaseDirectory(t *testing.T) {
	var out, errOut bytes.Buffer
	a := &app{out: &out, errOut: &errOut, now: time.Now}
	a.run(t.Context(), []string{"completion", "bash"})
	if a.base != defaultBase {
		t.Errorf("without any: %s, want %s", a.base, defaultBase)
	}
	a.base = "/env"
	a.run(t.Context(), []string{"completion", "bash"})
	if a.base != "/env" {
		t.Errorf("from the environment: %s", a.base)
	}
	a.run(t.Context(), []string{"completion", "bash", "--base", "/flag"})
	if a.base != "/flag" {
		t.Errorf("from the flag: %s", a.base)
	}
}

func TestWhatTheDaemonIsAsked(t *testing.T) {
	queue := control.Selection{Module: []string{"SMTP"}, Queue: []string{"example.com"}}
	for _, tt := range []struct {
		line string
		want []control.Act
	}{
		{"queue release smtp example.com", []control.Act{{Selection: queue}}},
		{"queue release SMTP example.com --dry-run", []control.Act{{Selection: queue, DryRun: true}}},
		{"queue release --all-delayed", []control.Act{
			{Selection: control.Selection{State: []control.State{control.Delayed}}, DryRun: true},
			{Selection: control.Selection{State: []control.State{control.Delayed}}}}},
		{"queue reject SMTP example.com --text closed", []control.Act{
			{Selection: queue, Text: "closed", DryRun: true}, {Selection: queue, Text: "closed"}}},
		{"queue reject SMTP example.com --text closed --no-dsn --yes", []control.Act{
			{Selection: queue, Text: "closed", NoDSN: true}}},
		{"message reject 1 2 --text x -y", []control.Act{{Selection: control.Selection{IDs: ids(1, 2)}, Text: "x"}}},
		{"message reject --all --text x --dry-run", []control.Act{
			{Selection: control.Selection{All: true}, Text: "x", DryRun: true}}},
		{"message reject --queue a --queue b --text x -y", []control.Act{
			{Selection: control.Selection{Queue: []string{"a", "b"}}, Text: "x"}}},
	} {
		d := full()
		if got := cgq(t, d.serve(t), nil, strings.Fields(tt.line)...); got.status != exitDone {
			t.Errorf("%s: %+v", tt.line, got)
		}
		if !reflect.DeepEqual(d.acts, tt.want) {
			t.Errorf("%s\nasked %+v\nwant  %+v", tt.line, d.acts, tt.want)
		}
	}
}

func TestAnswersToActs(t *testing.T) {
	many := control.Outcome{Matched: 130, Changed: 1, Messages: 2}
	for i := range 129 {
		many.Skip(control.Skip{ID: ids(7)[0], Recipient: "ann@example.com", Reason: "being processed"})
		many.Skips = many.Skips[:min(i+1, 2)]
	}
	one := control.Outcome{Matched: 4, Changed: 3, Messages: 2}
	one.Skip(control.Skip{ID: 4711, Recipient: "ann@example.com", Reason: "being \x1b[2Jprocessed"})
	for _, tt := range []struct {
		line string
		out  control.Outcome
		want string
	}{
		{"queue release SMTP a", control.Outcome{Matched: 1, Changed: 1, Messages: 412}, "released 1 of 1 queues\n"},
		{"queue release --all-delayed --dry-run", control.Outcome{Matched: 2, Changed: 2, Messages: 5},
			"would have released 2 of 2 queues\nnothing was changed\n"},
		{"queue reject SMTP a --text x", control.Outcome{Matched: 1, Changed: 1, Messages: 1},
			"rejected 1 of 1 recipients in 1 message\n"},
		{"queue reject SMTP a --text x --yes", one,
			"rejected 3 of 4 recipients in 2 messages; 1 skipped: ann@example.com in 4711: being \\x1b[2Jprocessed\n"},
		{"message reject 7 8 --text x --yes", many, "rejected 1 of 130 recipients in 2 messages; 129 skipped:\n" +
			"  ann@example.com in 7: being processed\n  ann@example.com in 7: being processed\n  and 127 more\n"},
		{"queue release SMTP a -o json", control.Outcome{Matched: 1, Changed: 1, Messages: 9},
			`{"matched":1,"changed":1,"already":0,"skipped":0,"messages":9}` + "\n"},
		{"account delete ann@example.org -y", control.Outcome{Matched: 1, Changed: 1, Messages: 12},
			"deleted 1 of 1 accounts with 12 messages\n"},
	} {
		d := full()
		d.outcome = tt.out
		if got := cgq(t, d.serve(t), nil, strings.Fields(tt.line)...); got.out != tt.want {
			t.Errorf("%s\ngot  %qwant %q", tt.line, got.out, tt.want)
		}
	}
}

func TestConfirmation(t *testing.T) {
	for _, tt := range []struct {
		name, line, answer string
		messages           int
		interactive        bool
		status, acted      int // acted: calls that are no dry run
	}{
		{"one message needs none", "queue reject SMTP a --text x", "", 1, false, exitDone, 1},
		{"many without anybody", "queue reject SMTP a --text x", "y\n", 2, false, exitNotConfirmed, 0},
		{"many, said before", "queue reject SMTP a --text x --yes", "", 2, false, exitDone, 1},
		{"yes", "queue reject SMTP a --text x", "y\n", 2, true, exitDone, 1},
		{"Yes in full", "message reject 4711 4712 --text x", " YES \n", 2, true, exitDone, 1},
		{"no", "queue reject SMTP a --text x", "n\n", 2, true, exitNotConfirmed, 0},
		{"just Enter", "queue reject SMTP a --text x", "\n", 2, true, exitNotConfirmed, 0},
		{"end of input", "queue reject SMTP a --text x", "", 2, true, exitNotConfirmed, 0},
		{"a dry run asks nobody", "queue reject SMTP a --text x --dry-run", "", 2, false, exitDone, 0},
		{"one queue is released at once", "queue release SMTP a", "", 412, false, exitDone, 1},
		{"many queues are not", "queue release --all-delayed", "", 412, false, exitNotConfirmed, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := full()
			d.outcome = control.Outcome{Matched: tt.messages, Changed: tt.messages, Messages: tt.messages}
			got := cgq(t, d.serve(t), func(a *app) { a.interactive, a.in = tt.interactive, strings.NewReader(tt.answer) },
				strings.Fields(tt.line)...)
			acted := 0
			for _, act := range d.acts {
				if !act.DryRun {
					acted++
				}
			}
			if got.status != tt.status || acted != tt.acted {
				t.Errorf("status %d, acted %d times; want %d and %d (%+v)", got.status, acted, tt.status, tt.acted, got)
			}
			if tt.interactive && !strings.HasSuffix(got.errOut, "will be rejected. Go on? [y/N] ") && !strings.Contains(got.errOut, "will be rejected. Go on? [y/N] cgq:") {
				t.Errorf("no question in %q", got.errOut)
			}
			if tt.interactive && (!strings.Contains(got.errOut, "4711  example.com") || !strings.Contains(got.errOut, "Their senders will be told")) {
				t.Errorf("no row of what is meant, or not what comes of it, in %q", got.errOut)
			}
		})
	}
}

// Who is asked can leave.
func TestConfirmationIsInterrupted(t *testing.T) {
	d := full()
	d.outcome.Messages = 2
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	in, mouth := io.Pipe()
	defer mouth.Close()
	var out, errOut bytes.Buffer
	a := &app{in: readerFunc(func(b []byte) (int, error) { interrupt(); return in.Read(b) }), out: &out, errOut: &errOut,
		now: time.Now, base: d.serve(t), interactive: true}
	if got := a.run(ctx, []string{"queue", "reject", "SMTP", "a", "--text", "x"}); got != exitNotConfirmed {
		t.Errorf("status %d, want %d; stderr %q", got, exitNotConfirmed, errOut.String())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func TestLogTail(t *testing.T) {
	d := full()
	base := d.serve(t)
	level := 2
	line := "log tail -n 7 --tag QUEUE,smtp --tag LOCAL --level 2 --message 4711"
	got := cgq(t, base, nil, strings.Fields(line)...)
	want := control.LogQuery{Tags: []string{"QUEUE", "smtp", "LOCAL"}, Level: &level, Message: 4711, Lines: 7}
	if !reflect.DeepEqual(d.logs, want) || got.status != exitDone {
		t.Errorf("asked %+v, want %+v (%+v)", d.logs, want, got)
	}
	cgq(t, base, nil, "log", "tail")
	if want := (control.LogQuery{Lines: 10}); !reflect.DeepEqual(d.logs, want) {
		t.Errorf("asked %+v, want %+v", d.logs, want)
	}
}

func TestFollowingTheLogEndsWell(t *testing.T) {
	d := full()
	d.err = context.Canceled // as when the caller was interrupted
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errOut bytes.Buffer
	a := &app{out: &out, errOut: &errOut, now: time.Now, base: d.serve(t)}
	if got := a.run(ctx, []string{"log", "tail", "-f"}); got != exitDone || errOut.Len() > 0 {
		t.Errorf("status %d, stderr %q; want none", got, errOut.String())
	}
	if got := a.run(ctx, []string{"queue", "list"}); got != exitFailed || errOut.String() != "cgq: interrupted\n" {
		t.Errorf("another list: status %d, stderr %q", got, errOut.String())
	}
}

func TestAccounts(t *testing.T) {
	d := full()
	base := d.serve(t)
	if got := cgq(t, base, nil, "account", "create", `"a b"@Example.org`); got.out != "created \"a b\"@Example.org\n" ||
		d.created != `"a b"@Example.org` {
		t.Errorf("%+v, created %q", got, d.created)
	}
	got := cgq(t, base, nil, "account", "delete", "ann@example.org")
	if got.out != "deleted 1 of 1 accounts with 1 message\n" {
		t.Errorf("%+v", got)
	}
	want := []control.AccountAct{{Address: "ann@example.org", DryRun: true}, {Address: "ann@example.org"}}
	if !reflect.DeepEqual(d.deleted, want) {
		t.Errorf("asked %+v, want %+v", d.deleted, want)
	}
}

func TestVersion(t *testing.T) {
	got := cgq(t, full().serve(t), nil, "version")
	if !strings.Contains(got.out, "cgqd 1.2.3, running for 1h30m, process 4242, /var/lib/cgq\n") {
		t.Errorf("%+v", got)
	}
}

func TestCompletion(t *testing.T) {
	d := full()
	d.queues = append(d.queues, control.QueueRow{Module: "SMTP", Queue: "evil\x1b[2J"})
	base := d.serve(t)
	for line, want := range map[string]string{
		"queue show ":             "LOCAL\nSMTP\n:4\n",
		"queue show S":            "SMTP\n:4\n",
		"queue reject SMTP exa":   "example.com\tdelayed, 412 messages\n:4\n",
		"message show 47":         "4711\tbob@example.org\n4712\t<>\n:4\n",
		"account delete b":        "bob@example.org\n:4\n",
		"queue list --state de":   strings.Join(states(), "\n") + "\n:4\n", // the shell picks
		"queue list -o json":      strings.Join(formats(), "\n") + "\n:4\n",
		"queue list --module L":   "LOCAL\n:4\n",
		"queue release --queue e": "example.com\tSMTP\n:4\n",
	} {
		words := strings.Fields(line)
		if strings.HasSuffix(line, " ") {
			words = append(words, "")
		}
		if got := cgq(t, base, nil, append([]string{"__complete"}, words...)...); got.out != want {
			t.Errorf("%q completes to %q, want %q", line, got.out, want)
		}
	}
	for line, want := range map[string]string{ // where no file is meant none is offered
		"check ": ":4\n", "queue list ": ":4\n", "top --columns ": ":38\n", "check --timeout ": ":4\n",
		"message export --dir ": ":16\n", "--base ": ":16\n", "rules import ": ":0\n", "queue list --ids-from ": ":0\n",
		"rules test --message ": ":0\n", "queue release --wait=": ":4\n",
	} {
		words := append(strings.Fields(line), "")
		if strings.HasSuffix(line, "=") {
			words = words[:len(words)-1]
		}
		if got := cgq(t, base, nil, append([]string{"__complete"}, words...)...); got.out != want {
			t.Errorf("%q completes to %q, want %q", line, got.out, want)
		}
	}
	if got := cgq(t, t.TempDir(), nil, "__complete", "queue", "show", ""); got.out != ":4\n" {
		t.Errorf("without a daemon: %+v, want no candidate", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := cgq(t, base, nil, "completion", shell); got.status != exitDone || !strings.Contains(got.out, "__complete") {
			t.Errorf("%s: status %d, %d bytes", shell, got.status, len(got.out))
		}
	}
}

func TestGenDocsHasAPageForEachCommand(t *testing.T) {
	dir := t.TempDir()
	if got := cgq(t, "", nil, "gen-docs", dir); got.status != exitDone {
		t.Fatal(got)
	}
	b, err := os.ReadFile(filepath.Join(dir, "cgq-queue-reject.md"))
	for _, want := range []string{"# cgq queue reject\n", "--no-dsn", "--base", "closed for good", "(cgq-queue.md)"} {
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("no %q in the page (%v):\n%s", want, err, b)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "cgq-gen-docs.md")); err == nil {
		t.Error("a hidden command has a page")
	}
}

// What is made from the program and checked in is what the program makes: make docs.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	made := t.TempDir()
	cgq(t, "", nil, "gen-docs", filepath.Join(made, "docs", "commands"))
	cgq(t, "", nil, "gen-man", filepath.Join(made, "docs", "man"))
	if err := os.Mkdir(filepath.Join(made, "completions"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, shell := range map[string]string{"cgq.bash": "bash", "cgq.zsh": "zsh", "cgq.fish": "fish", "cgq.ps1": "powershell"} {
		script := cgq(t, "", nil, "completion", shell).out
		if err := os.WriteFile(filepath.Join(made, "completions", file), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"docs/commands", "docs/man", "completions"} {
		want, got := contents(t, filepath.Join(made, dir)), contents(t, filepath.Join("../..", dir))
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s/%s is not what the program makes; make docs", dir, name)
			}
			delete(got, name)
		}
		maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasPrefix(name, "cgqd") }) // cgqd makes them
		for name := range got {
			t.Errorf("%s/%s is of no command any more; make docs", dir, name)
		}
	}
}

// contents returns the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = string(b)
	}
	return all
}

// What lists something can be watched.
func TestEveryListCanBeWatched(t *testing.T) {
	for _, group := range newRoot(&app{}).Commands() {
		for _, cmd := range group.Commands() {
			if list := cmd.Name() == "list" || cmd.Name() == "history"; list && cmd.Flags().Lookup("watch") == nil {
				t.Errorf("%s has no --watch", cmd.CommandPath())
			}
		}
	}
}

// Every command can be understood from its help.
func TestEveryCommandExplainsItself(t *testing.T) {
	root := newRoot(&app{})
	for _, group := range append(root.Commands(), root) {
		for _, cmd := range append(group.Commands(), group) {
			if cmd.Hidden {
				continue
			}
			if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
				t.Errorf("%s lacks Short, Long or Example", cmd.CommandPath())
			}
		}
	}
}
