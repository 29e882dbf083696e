package endtoend

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

// text writes a message of at least n bytes in which everything comes that a
// transfer could spoil: dots, long lines, empty ones, blanks at their ends, all
// bytes but CR, LF and NUL, and what looks like another message.
func text(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: text FILE N")
	}
	var every []byte
	for c := range 256 {
		if c != 0 && c != '\r' && c != '\n' {
			every = append(every, byte(c))
		}
	}
	block := strings.Join([]string{
		".", "..", ".x", "", " ", "blanks  ", "\t", "From here", ">From there", "QUIT", "--", string(every),
		strings.Repeat("long ", 1000), "." + strings.Repeat(".", 998), "Received: no", "",
	}, "\n")
	b := bytes.NewBufferString("Subject: big\n\n")
	for i, n := 0, number(ts, args, 1); b.Len() < n; i++ {
		_, _ = fmt.Fprintf(b, "%d\n%s", i, block)
	}
	b.WriteString(".\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: ends FILE END")
	}
	got, want := ts.ReadFile(args[0]), ts.ReadFile(args[1])
	if strings.HasSuffix(got, want) {
		return
	}
	tail := got[max(0, len(got)-len(want)):]
	for i := range min(len(tail), len(want)) {
		if tail[i] != want[i] {
			ts.Fatalf("%s does not end with %s: at %d of %d bytes %.80q, want %.80q",
				args[0], args[1], i, len(want), tail[i:], want[i:])
		}
	}
	ts.Fatalf("%s has %d bytes, fewer than the %d of %s", args[0], len(got), len(want), args[1])
}

// clean fails on what a terminal obeys, or shows as something that it is not:
// control bytes, C1 controls, marks of direction, what is no UTF-8.
func clean(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: clean FILE")
	}
	names := []string{args[0]}
	if args[0] != "stdout" {
		var err error
		names, err = filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
	}
	if len(names) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	for _, name := range names {
		b := ts.ReadFile(name)
		if b == "" {
			ts.Fatalf("%s is empty", name)
		}
		for line := range strings.Lines(b) {
			bad := func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf))
			}
			if i := strings.IndexFunc(line, bad); i >= 0 || !utf8.ValidString(line) {
				ts.Fatalf("%s: at %d of %q", name, i, line)
			}
		}
	}
}
