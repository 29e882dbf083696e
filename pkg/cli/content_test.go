package cli

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"cgq/pkg/control"
)

func TestContent(t *testing.T) {
	d := full()
	base := d.serve(t)
	if got := cgq(t, base, nil, "message", "content", "4711", "--raw"); got.out != d.contents[4711] || got.status != exitDone {
		t.Errorf("raw: %+v; want %q", got, d.contents[4711])
	}
	got := cgq(t, base, func(a *app) { a.width = 80 }, "message", "content", "4711", "--raw")
	if got.status != exitUsage || got.out != "" || !strings.Contains(got.errOut, "redirect") {
		t.Errorf("raw on a terminal: %+v; want status 2 and nothing of the message", got)
	}
	if got := cgq(t, base, nil, "message", "content", "4712", "--headers"); got.out != "Subject: short\n" {
		t.Errorf("headers: %+v", got)
	}
	d.err = errLate
	if got := cgq(t, base, nil, "message", "content", "4712"); got.status != exitFailed || !strings.Contains(got.errOut, "on fire") {
		t.Errorf("late: %+v; want status 1", got)
	}
}

func TestSafeWriter(t *testing.T) {
	long := strings.Repeat("ü", longLine)
	for in, want := range map[string]string{
		"":                       "",
		"\n":                     "\n",
		"a\tb\x1b[2J\r\nc":       "a\tb\\x1b[2J\\r\nc\n",
		"x" + long + "\x07\nend": "x" + long + "\\x07\nend\n",
		"\xff\xfe" + long + "\n": `\xff\xfe` + long + "\n",
		"a\u202eb\n":             `a\u202eb` + "\n",
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			var b bytes.Buffer
			w := &safeWriter{w: &b}
			for rest := in; rest != ""; {
				n := min(step, len(rest))
				if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
					t.Fatal(m, err)
				}
				rest = rest[n:]
			}
			if err := w.flush(); err != nil || b.String() != want {
				t.Errorf("in steps of %d: %.60q, want %.60q (%v)", step, b.String(), want, err)
			}
		}
	}
}

func TestHeadWriter(t *testing.T) {
	for in, want := range map[string]string{
		"A: 1\nB: 2\n\nbody\n": "A: 1\nB: 2\n",
		"A: 1\n":               "A: 1\n",
		"\nbody":               "",
		"":                     "",
	} {
		for _, step := range []int{1, 100} {
			var b bytes.Buffer
			h := &headWriter{w: &b}
			for rest, ended := in, false; rest != "" && !ended; {
				n := min(step, len(rest))
				_, err := h.Write([]byte(rest[:n]))
				rest, ended = rest[n:], err != nil
			}
			if b.String() != want {
				t.Errorf("%q: %q, want %q", in, b.String(), want)
			}
		}
	}
}

func TestExport(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	d := full()
	base := d.serve(t)
	export := func(args ...string) result {
		return cgq(t, base, nil, append([]string{"message", "export", "--dir", dir}, args...)...)
	}
	got := export("--queue", "example.com")
	bytes := strconv.Itoa(len(d.contents[4711]) + len(d.contents[4712]))
	if want := "exported 2 of 2 messages, " + bytes + " in " + dir + "\n"; got.out != want || got.status != exitDone {
		t.Errorf("%+v, want %q", got, want)
	}
	b, err := os.ReadFile(path("4711.eml"))
	if is, e := os.Stat(path("4711.eml")); err != nil || e != nil || string(b) != d.contents[4711] || is.Mode() != 0o600 {
		t.Errorf("%q, %v, %v", b, err, e)
	}

	d.contents[4711] = "new"
	got = export("4711")
	if b, _ := os.ReadFile(path("4711.eml")); got.status != exitFailed || string(b) == "new" ||
		!strings.Contains(got.out, "4711.eml is there already; --force replaces it") {
		t.Errorf("over a file: %+v, %q", got, b)
	}
	got = export("4711", "--force", "-o", "json")
	want := `{"matched":1,"exported":1,"skipped":0,"bytes":3,"dir":"` + dir + `"}` + "\n"
	if b, _ := os.ReadFile(path("4711.eml")); got.out != want || string(b) != "new" {
		t.Errorf("by force: %+v, %q", got, b)
	}

	// One that has gone meanwhile is named, and the others are written.
	got = export("4711", "4713", "--force")
	if got.status != exitPartly || got.out != "exported 1 of 2 messages, 3 in "+dir+"; 1 skipped: 4713: it has left the queue\n" {
		t.Errorf("gone: %+v", got)
	}
	d.messages = nil
	if got := export("4713"); got.status != exitFailed || !strings.Contains(got.errOut, "no message 4713") {
		t.Errorf("alone and gone: %+v", got)
	}

	left, err := filepath.Glob(path("*"))
	if err != nil || len(left) != 2 {
		t.Errorf("files %q, %v; want two", left, err)
	}
}

// What stands there and is no file is not written through, or replaced.
func TestExportFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "4711.eml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "4712.eml"), 0o700); err != nil {
		t.Fatal(err)
	}
	base := full().serve(t)
	for _, force := range []string{"--force", "--force=false"} {
		got := cgq(t, base, nil, "message", "export", "4711", "4712", "--dir", dir, force)
		is, err := os.Lstat(filepath.Join(dir, "4711.eml"))
		b, _ := os.ReadFile(victim)
		if got.status != exitFailed || strings.Count(got.out, "not a regular file") != 2 || string(b) != "precious" ||
			err != nil || is.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s: %+v, %q, %v", force, got, b, err)
		}
	}
	got := cgq(t, base, nil, "message", "export", "4711", "--dir", filepath.Join(dir, "none"))
	if got.status != exitFailed || got.out != "" || !strings.Contains(got.errOut, "no such file") {
		t.Errorf("no directory: %+v", got)
	}
}

// A message that was cut off leaves no file.
func TestExportThatFails(t *testing.T) {
	d := full()
	base := d.serve(t)
	dir := t.TempDir()
	d.err = errLate
	got := cgq(t, base, nil, "message", "export", "4711", "4712", "--dir", dir)
	left, _ := os.ReadDir(dir)
	if got.status != exitFailed || len(left) > 0 || !strings.Contains(got.errOut, "message 4711: ") {
		t.Errorf("%+v, %v left", got, left)
	}
}

func TestTrace(t *testing.T) {
	d := full()
	base := d.serve(t)
	cgq(t, base, nil, "message", "trace", "4711")
	if d.traced != 4711 {
		t.Errorf("asked of %d", d.traced)
	}
	got := cgq(t, base, nil, "message", "trace", "4709")
	if got.status != exitDone || !strings.Contains(got.out, "\n2026-11-23 12:00:00.000 2 QUEUE") || !strings.Contains(got.out, " - FACT x@example.com attempt 1") ||
		strings.Contains(got.out, "\x1b") {
		t.Errorf("one that has gone: %+v; want its rows", got)
	}
	got = cgq(t, base, nil, "message", "trace", "4709", "-o", "json")
	if got.status != exitDone || !strings.HasPrefix(got.out, `{"message":null,"rows":[{`) {
		t.Errorf("one that has gone: %+v", got)
	}
	d.life, d.untold = nil, control.Errorf(control.KindNoSuchMessage, "it may be older", "no message 4709 in the queue")
	const unknown = "cgq: no message 4709 in the queue; it may be older\n"
	if got := cgq(t, base, nil, "message", "trace", "4709"); got.status != exitFailed || got.errOut != unknown || got.out != "" {
		t.Errorf("unknown: %+v", got)
	}
	if got := cgq(t, base, nil, "message", "trace", "4709", "--fail-empty"); got.status != exitEmpty || got.errOut != unknown {
		t.Errorf("unknown, and that matters: %+v", got)
	}
}

// While a start still reads the Queue the rows are told, and that they may not be all.
func TestTraceDuringAStart(t *testing.T) {
	d := full()
	d.page.ID = 1
	base := d.serve(t)
	d.show = incomplete
	_, d.untold = incomplete(0)
	got := cgq(t, base, nil, "message", "trace", "4711")
	if got.status != exitPartly || !strings.Contains(got.out, "enqueued") || !strings.Contains(got.errOut, "still being read") {
		t.Errorf("%+v; want the rows and status 5", got)
	}
}
