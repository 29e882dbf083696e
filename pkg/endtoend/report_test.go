package endtoend

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// report prints a Delivery Status Notification (RFC 3464), read by the standard
// library: the header fields that matter, then each part with its type.
func report(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: report FILE")
	}
	msg, err := mail.ReadMessage(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	out := ts.Stdout()
	for _, name := range []string{"Return-Path", "From", "To", "Subject", "Auto-Submitted"} {
		_, _ = fmt.Fprintf(out, "%s: %s\n", name, msg.Header.Get(name))
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	ts.Check(err)
	if kind != "multipart/report" || params["report-type"] != "delivery-status" {
		ts.Fatalf("%s is a %s, %v", args[0], kind, params)
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if err == io.EOF {
			if n != 3 {
				ts.Fatalf("%d parts, want 3", n)
			}
			return
		}
		ts.Check(err)
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		ts.Check(err)
		text, err := io.ReadAll(part)
		ts.Check(err)
		_, _ = fmt.Fprintf(out, "== %s\n%s\n", kind, text)
		if kind == "message/delivery-status" {
			checkStatus(ts, text)
		}
	}
}

// checkStatus reads the groups of fields of a message/delivery-status part: one for
// the message, then one for each recipient, with the fields that RFC 3464 §2.2 and
// §2.3 want.
func checkStatus(ts *testscript.TestScript, text []byte) {
	groups := bytes.Split(bytes.TrimSpace(text), []byte("\n\n"))
	if len(groups) < 2 {
		ts.Fatalf("a report about nobody: %s", text)
	}
	for i, group := range groups {
		fields, err := mail.ReadMessage(bytes.NewReader(append(group, "\n\n"...)))
		ts.Check(err)
		want := []string{"Final-Recipient", "Action", "Status"}
		if i == 0 {
			want = []string{"Reporting-MTA"}
		}
		for _, name := range want {
			if fields.Header.Get(name) == "" {
				ts.Fatalf("group %d has no %s:\n%s", i, name, group)
			}
		}
	}
}

// reported looks at all reports in a directory about the messages of a flood, whose
// tokens came back in their headers.
func reported(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 || neg {
		ts.Fatalf("usage: reported DIR FILE TO...")
	}
	names, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.eml"))
	ts.Check(err)
	told := map[string][]string{} // of a token: about whom
	for _, name := range names {
		var token string
		var about []string
		for line := range strings.Lines(ts.ReadFile(name)) {
			if found, ok := strings.CutPrefix(line, tokenField); ok {
				token = strings.TrimSpace(found)
			}
			if found, ok := strings.CutPrefix(line, "Final-Recipient: rfc822; "); ok {
				about = append(about, strings.TrimSpace(found))
			}
		}
		if token == "" || len(about) == 0 {
			ts.Fatalf("%s is about no message or nobody", name)
		}
		told[token] = append(told[token], about...)
	}
	want := slices.Sorted(slices.Values(args[2:]))
	for token, about := range told {
		if slices.Sort(about); len(slices.Compact(slices.Clone(about))) != len(about) {
			ts.Fatalf("the sender of %s was told of %q", token, about)
		}
	}
	acknowledged := strings.Fields(ts.ReadFile(args[1]))
	for _, token := range acknowledged {
		if !slices.Equal(told[token], want) {
			ts.Fatalf("the sender of %s was told of %q, want %q", token, told[token], want)
		}
	}
	_, _ = fmt.Fprintf(ts.Stdout(), "acknowledged %d, reports %d, of %d messages\n", len(acknowledged), len(names), len(told))
}
