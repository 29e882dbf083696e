package dsn_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-message"
)

// A golden is a golden file as the standard library reads it, which is what is meant
// (TestStandardLibraryReadsIt).
type golden struct {
	file       string
	kinds      []string
	recipients []textproto.MIMEHeader
}

func goldens(t *testing.T) (all []golden, files []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < len(reports()) {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g := golden{file: file}
		parts := parse(t, string(b)).parts
		for _, part := range parts {
			g.kinds = append(g.kinds, part.kind)
		}
		if len(parts) < 2 || g.kinds[0] != "text/plain" || g.kinds[1] != "message/delivery-status" {
			t.Fatalf("%s has parts %v", file, g.kinds)
		}
		if g.recipients = blocks(t, parts[1].body)[1:]; len(g.recipients) == 0 {
			t.Fatalf("%s is about nobody", file)
		}
		all = append(all, g)
	}
	return all, files
}

// missing skips a test, unless everything has to be there (docs: pkg/endtoend).
func missing(t *testing.T, tool string) {
	t.Helper()
	if os.Getenv("CGQ_TEST_TOOLS") == "required" {
		t.Fatalf("%s is missing", tool)
	}
	t.Skipf("%s is missing; for this test: apt-get install %s", tool, tool)
}

// runScript runs a script in testdata, which prints a line for each file, into a T.
func runScript[T any](t *testing.T, python, script string, files []string) (all []T) {
	t.Helper()
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", script)}, files...)...)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", python, script, err, errOut.String())
	}
	for line := range bytes.Lines(out) {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%s: %v: %s", script, err, line)
		}
		all = append(all, one)
	}
	if len(all) != len(files) {
		t.Fatalf("%s found %d reports in %d files", script, len(all), len(files))
	}
	return all
}

// check compares what another has found with what is meant: of each recipient the
// fields, wherever their values are folded.
func (g *golden) check(t *testing.T, kinds []string, n int, field func(i int, name string) string) {
	t.Helper()
	if !slices.Equal(kinds, g.kinds) || n != len(g.recipients) {
		t.Errorf("%s: parts %v about %d recipients, want %v about %d", g.file, kinds, n, g.kinds, len(g.recipients))
		return
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for i, rcpt := range g.recipients {
		for name := range rcpt {
			if got, want := field(i, name), rcpt.Get(name); squeeze(got) != squeeze(want) {
				t.Errorf("%s: recipient %d has %s %q, want %q", g.file, i, name, got, want)
			}
		}
	}
}

func TestGoMessageReadsEveryGolden(t *testing.T) {
	all, files := goldens(t)
	for i, g := range all {
		f, err := os.Open(files[i])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := message.Read(f)
		if err != nil {
			t.Fatalf("%s: %v", g.file, err)
		}
		var kinds, bodies []string
		for parts := e.MultipartReader(); ; {
			part, err := parts.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: part %d: %v", g.file, len(kinds), err)
			}
			kind, _, err := part.Header.ContentType()
			body, readErr := io.ReadAll(part.Body)
			if err != nil || readErr != nil {
				t.Fatalf("%s: part %d: %v, %v", g.file, len(kinds), err, readErr)
			}
			kinds, bodies = append(kinds, kind), append(bodies, string(body))
		}
		groups := blocks(t, bodies[1])[1:]
		g.check(t, kinds, len(groups), func(i int, name string) string { return groups[i].Get(name) })
	}
}

func TestPythonReadsEveryGolden(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3")
	}
	type found struct {
		Subject, Type, Text string
		Parts               []string
		Recipients          []map[string]string
	}
	all, files := goldens(t)
	for i, got := range runScript[found](t, python, "parse.py", files) {
		g := all[i]
		if got.Type != "multipart/report" || got.Subject == "" || strings.Contains(got.Subject, "=?") || got.Text == "" {
			t.Errorf("%s: %s with Subject %q and text %q", g.file, got.Type, got.Subject, got.Text)
		}
		g.check(t, got.Parts, len(got.Recipients), func(i int, name string) string { return got.Recipients[i][strings.ToLower(name)] })
	}
}

// withFlufl returns a Python that has flufl.bounce: Debian's package is for Debian's.
func withFlufl() string {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import flufl.bounce").Run() == nil {
			return python
		}
	}
	return ""
}

// What Mailman makes of our reports: who has failed is taken off the list in the end,
// who is delayed is not, and good news is about nobody. It knows a recipient by the
// address that it has sent to, ORCPT, and reads no addresses that are not ASCII.
func TestMailmanReadsEveryGolden(t *testing.T) {
	python := withFlufl()
	if python == "" {
		missing(t, "python3-flufl.bounce")
	}
	type found struct{ Scan, Temporary, Permanent []string }
	all, files := goldens(t)
	for i, got := range runScript[found](t, python, "mailman.py", files) {
		var want found
		for _, rcpt := range all[i].recipients {
			kind, address, _ := strings.Cut(cmp.Or(rcpt.Get("Original-Recipient"), rcpt.Get("Final-Recipient")), "; ")
			switch action := rcpt.Get("Action"); {
			case kind != "rfc822":
			case action == "failed":
				want.Permanent = append(want.Permanent, address)
			case action == "delayed":
				want.Temporary = append(want.Temporary, address)
			}
		}
		slices.Sort(want.Permanent)
		slices.Sort(want.Temporary)
		if want.Scan = want.Permanent; !slices.Equal(got.Scan, want.Scan) || !slices.Equal(got.Permanent, want.Permanent) ||
			!slices.Equal(got.Temporary, want.Temporary) {
			t.Errorf("%s: flufl.bounce says %q, want %q", files[i], got, want)
		}
	}
}
