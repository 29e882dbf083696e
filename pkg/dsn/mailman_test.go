package dsn_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/emersion/go-message"

	"cgq/pkg/dsn"
	house "cgq/pkg/mail"
)

// goldens returns the golden files, and the reports that they are of.
func goldens(t *testing.T) (files []string, of []*dsn.Report) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	all := reports()
	for _, file := range files {
		r := all[strings.TrimSuffix(filepath.Base(file), ".eml")]
		if r == nil {
			t.Fatalf("%s is the report of nothing in reports()", file)
		}
		of = append(of, r)
	}
	return files, of
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

// kinds are the types of the parts that a report has to have.
func kinds(t *testing.T, r *dsn.Report) []string {
	t.Helper()
	all := []string{"text/plain", "message/delivery-status"}
	if r.Original == nil {
		return all
	}
	header, full := "text/rfc822-headers", "message/rfc822"
	if !ascii(t, r.Original) {
		header, full = "message/global-headers", "message/global"
	}
	if r.Return == house.ReturnFull {
		return append(all, full)
	}
	return append(all, header)
}

// ascii says whether the header of a message is.
func ascii(t *testing.T, text io.ReadSeeker) bool {
	t.Helper()
	_, err := text.Seek(0, io.SeekStart)
	b, readErr := io.ReadAll(text)
	if err != nil || readErr != nil {
		t.Fatal(err, readErr)
	}
	header, _, _ := strings.Cut(string(b), "\n\n")
	return !strings.ContainsFunc(header, func(c rune) bool { return c > unicode.MaxASCII })
}

// checkGroup checks the fields about one recipient.
func checkGroup(t *testing.T, file string, rcpt *dsn.Recipient, get func(string) string) {
	t.Helper()
	if got := get("Action"); got != rcpt.Result.Action.String() {
		t.Errorf("%s, %s: Action %q, want %s", file, rcpt.To, got, rcpt.Result.Action)
	}
	kind := "rfc822; "
	if !rcpt.To.ASCII() {
		kind = "utf-8;"
	}
	got := get("Final-Recipient")
	if !strings.HasPrefix(got, kind) || rcpt.To.ASCII() && got != kind+rcpt.To.String() {
		t.Errorf("%s: Final-Recipient %q, want %s%s", file, got, kind, rcpt.To)
	}
}

func TestGoMessageReadsEveryGolden(t *testing.T) {
	files, of := goldens(t)
	for i, r := range of {
		f, err := os.Open(files[i])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := message.Read(f)
		if err != nil {
			t.Fatalf("%s: %v", files[i], err)
		}
		var types, bodies []string
		for parts := e.MultipartReader(); ; {
			part, err := parts.NextPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: part %d: %v", files[i], len(types), err)
			}
			kind, _, err := part.Header.ContentType()
			body, readErr := io.ReadAll(part.Body)
			if err != nil || readErr != nil {
				t.Fatalf("%s: part %d: %v, %v", files[i], len(types), err, readErr)
			}
			types, bodies = append(types, kind), append(bodies, string(body))
		}
		if !slices.Equal(types, kinds(t, r)) {
			t.Errorf("%s: parts %v, want %v", files[i], types, kinds(t, r))
			continue
		}
		groups := blocks(t, bodies[1])
		if len(groups) != 1+len(r.Recipients) {
			t.Errorf("%s: %d groups of fields, want one and %d", files[i], len(groups), len(r.Recipients))
			continue
		}
		for j := range r.Recipients {
			checkGroup(t, files[i], &r.Recipients[j], groups[1+j].Get)
		}
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
	files, of := goldens(t)
	for i, got := range runScript[found](t, python, "parse.py", files) {
		r := of[i]
		if got.Type != "multipart/report" || !slices.Equal(got.Parts, kinds(t, r)) {
			t.Errorf("%s: %s of %v, want multipart/report of %v", files[i], got.Type, got.Parts, kinds(t, r))
		}
		if got.Subject == "" || strings.Contains(got.Subject, "=?") {
			t.Errorf("%s: Subject %q", files[i], got.Subject)
		}
		if len(got.Recipients) != len(r.Recipients) {
			t.Errorf("%s: recipients %v, want %d", files[i], got.Recipients, len(r.Recipients))
			continue
		}
		for j := range r.Recipients {
			rcpt := &r.Recipients[j]
			checkGroup(t, files[i], rcpt, func(name string) string { return got.Recipients[j][name] })
			if !strings.Contains(got.Text, rcpt.To.String()) {
				t.Errorf("%s: nothing about %s for people:\n%s", files[i], rcpt.To, got.Text)
			}
		}
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
	files, of := goldens(t)
	for i, got := range runScript[found](t, python, "mailman.py", files) {
		var want found
		for _, rcpt := range of[i].Recipients {
			address := rcpt.To.String()
			if kind, original, ok := strings.Cut(rcpt.Original, ";"); ok && kind == "rfc822" {
				address = original
			}
			switch rcpt.Result.Action {
			case house.Failed:
				if rcpt.To.ASCII() {
					want.Permanent = append(want.Permanent, address)
				}
			case house.Delayed:
				want.Temporary = append(want.Temporary, address)
			}
		}
		slices.Sort(want.Permanent)
		slices.Sort(want.Temporary)
		if !slices.Equal(got.Scan, want.Permanent) || !slices.Equal(got.Permanent, want.Permanent) ||
			!slices.Equal(got.Temporary, want.Temporary) {
			t.Errorf("%s: flufl.bounce says %q; want permanent %q, temporary %q",
				files[i], got, want.Permanent, want.Temporary)
		}
	}
}
