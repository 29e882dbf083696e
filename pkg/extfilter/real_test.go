package extfilter

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/settings"
)

// running starts a program that is to listen at a socket, and stops it with what it has
// started when the test ends. Without the program the test is skipped.
func running(t *testing.T, socket, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name) // which is not in everybody's PATH
		if _, err := os.Stat(path); err != nil {
			t.Skip(name + " is not installed")
		}
	}
	var out buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		t.Log(name, "has ended:", <-ended)
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v\n%s", name, err, out.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen at %s:\n%s", name, socket, out.String())
		}
	}
}

// write makes a file in a directory, and says where it is.
func write(t *testing.T, dir, name, format string, args ...any) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The real opendkim signs a message and verifies it, in both ways to look at a header:
// what it is told is the message to the byte, with the blanks behind colons, and a header
// that is longer than Rules look at.
func TestRealOpendkim(t *testing.T) {
	if _, err := exec.LookPath("opendkim-genkey"); err != nil {
		t.Skip("opendkim-genkey is not installed")
	}
	for _, canonicalization := range []string{"simple/simple", "relaxed/relaxed"} {
		t.Run(canonicalization, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("opendkim-genkey", "-D", dir, "-b", "2048", "-d", "example.net", "-s", "here").CombinedOutput(); err != nil {
				t.Fatalf("opendkim-genkey: %v\n%s", err, out)
			}
			record, err := os.ReadFile(filepath.Join(dir, "here.txt"))
			if err != nil {
				t.Fatal(err)
			}
			var key strings.Builder // the strings of the record
			for i, part := range strings.Split(string(record), `"`) {
				if i%2 == 1 {
					key.WriteString(part)
				}
			}
			keys := write(t, dir, "keys", "here._domainkey.example.net %s\n", key.String())
			var filters []Filter
			for _, mode := range []string{"s", "v"} {
				socket := filepath.Join(dir, mode+".sock")
				conf := write(t, dir, mode+".conf", "Mode %s\nDomain example.net\nSelector here\nKeyFile %s/here.private\nRequireSafeKeys no\n"+
					"Canonicalization %s\nTestPublicKeys %s\nAlwaysAddARHeader yes\nInternalHosts %s\nUMask 000\nMaximumHeaders 0\n",
					mode, dir, canonicalization, keys, write(t, dir, mode+".internal", "%s\n", map[string]string{"s": "192.0.2.0/24", "v": "127.0.0.1"}[mode]))
				running(t, socket, "opendkim", "-f", "-x", conf, "-p", "local:"+socket)
				filters = append(filters, Filter{Name: mode, Kind: "milter", Address: "unix:" + socket, Timeout: settings.Duration(20 * time.Second)})
			}
			s := newSite(t, filters...)
			head := "From: bob@example.net\nSubject:   three blanks\n and  a fold \nDate: Wed, 25 Nov 2026 08:00:00 +0000\n" +
				strings.Repeat("X-Many: "+strings.Repeat("h", 900)+"\n", 80) + "To:ann@example.com\n"
			body := ".\n..\n\ntrailing blanks  \n" + strings.Repeat("a line of text\n", 20_000) + "\n\n"
			signed, err := s.Filter(t.Context(), "s", message(head, body))
			if err != nil || len(signed.Add) != 1 || !strings.HasPrefix(signed.Add[0], "DKIM-Signature: v=1;") {
				t.Fatalf("signing: %.300v, %v", signed, err)
			}
			for _, tt := range []struct{ name, body, want string }{{"as it was signed", body, "dkim=pass"}, {"changed", body + "x\n", "dkim=fail"}} {
				r := message(signed.Add[0]+"\n"+head, tt.body)
				r.Envelope.Auth = "" // what authenticated senders send is not verified
				seen, err := s.Filter(t.Context(), "v", r)
				if err != nil || len(seen.Add) != 1 || !strings.Contains(seen.Add[0], tt.want) {
					t.Errorf("%s: %+v, %v; want %s\n%s", tt.name, seen, err, tt.want, signed.Add[0])
				}
			}
		})
	}
}

// The real rspamd: spam by the pattern that all such programs know, and a big clean message,
// over a socket and one connection.
func TestRealRspamd(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "rspamd.sock")
	conf := write(t, dir, "rspamd.conf", `options {
  pidfile = "%[1]s/rspamd.pid";
  tempdir = "%[1]s";
  control_socket = "%[1]s/control.sock mode=0600";
  gtube_patterns = "all";
  enable_test_patterns = true;
  filters = "";
  dns { nameserver = "127.0.0.1:1"; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "warning"; }
worker "normal" { bind_socket = "%[2]s mode=0666"; count = 1; }
actions { reject = 15; add_header = 6; greylist = 4; rewrite_subject = 5; }
`, dir, socket)
	running(t, socket, "rspamd", "-f", "-i", "-c", conf)
	s := newSite(t, Filter{Name: "spam", Kind: "rspamd", URL: "unix:" + socket, Timeout: settings.Duration(20 * time.Second)})
	const head = "From: bob@example.net\nTo: ann@example.com\nSubject: hello\nDate: Wed, 25 Nov 2026 08:00:00 +0000\nMessage-ID: <1@example.net>\n"
	pattern := func(s string) string { return "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + s + "*C.34X\n" }
	for _, tt := range []struct {
		name, body string
		want       func(Answer) bool
	}{
		{"clean", strings.Repeat("a line of text\n", 100_000), func(a Answer) bool { return a.Verdict == Accept && len(a.Change) == 0 }},
		{"reject", pattern("GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"), func(a Answer) bool { return a.Verdict == Reject && a.Result.Status[0] == 5 }},
		{"add header", strings.ReplaceAll(pattern("GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"), "XJS", "YJS"),
			func(a Answer) bool { return a.Verdict == Accept && len(a.Add) == 1 && a.Add[0] == "X-Spam: Yes" }},
		{"rewrite subject", strings.ReplaceAll(pattern("GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"), "XJS", "ZJS"),
			func(a Answer) bool { return a.Verdict == Accept && len(a.Change) == 1 && a.Change[0].Name == "Subject" }},
		{"clean again", "nothing\n", func(a Answer) bool { return a.Verdict == Accept && len(a.Change) == 0 }},
	} {
		a, err := s.Filter(t.Context(), "spam", message(head, tt.body))
		if err != nil || !tt.want(a) {
			t.Errorf("%s: %+v, %v\n%s", tt.name, a, err, s.log.String())
		}
	}
}
