package endtoend

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/foxcpp/go-mockdns"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"cgq/pkg/endtoend/program"
)

// A site is what a story has: a base directory, a daemon, and the others around it.
type site struct {
	t       testscript.T
	base    string
	keeps   bool // what was synced; else the daemon has to be told that it may be there
	daemon  *program.Daemon
	here    string            // the name of the place
	places  map[string]*place // the others
	peers   map[string]*peer
	sink    *sink
	postfix *postfix
	flood   *flood
	floods  int // begun so far
	names   *mockdns.Server
	screen  *screen
	screens int   // begun so far
	ports   []int // descriptors that keep addresses
}

// close ends what a story has left behind. When it has failed it shows what the
// daemon said last.
func (s *site) close() {
	var err error
	if s.daemon != nil {
		err = s.daemon.End(unix.SIGTERM)
	}
	elsewhere, e := s.leave()
	err = cmp.Or(err, e)
	if s.sink != nil {
		s.sink.stop()
	}
	if s.postfix != nil {
		s.postfix.stop()
	}
	if s.screen != nil {
		s.screen.stop()
	}
	for _, p := range s.peers {
		p.stop()
	}
	if s.names != nil {
		_ = s.names.Close()
	}
	for _, fd := range s.ports {
		unix.Close(fd)
	}
	if t, ok := s.t.(interface{ Failed() bool }); err != nil || ok && t.Failed() {
		s.t.Log(elsewhere + "the end of the Server Log:\n" + lastLines(s.base, 60))
	}
	os.RemoveAll(s.base)
	if err != nil {
		s.t.Fatal(err)
	}
}

func lastLines(base string, n int) string {
	logs, _ := filepath.Glob(filepath.Join(base, "SystemLogs", "*.log"))
	var all []byte
	for _, name := range logs {
		b, err := os.ReadFile(name)
		if err != nil {
			return err.Error()
		}
		all = append(all, b...)
	}
	lines := bytes.SplitAfter(all, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], nil))
}

func (s *site) init(ts *testscript.TestScript, args []string) {
	if len(args) > 1 {
		ts.Fatalf("usage: site [DOMAIN]")
	}
	domain := "example.org"
	if len(args) > 0 {
		domain = args[0]
	}
	s.port(ts, []string{"RELAY"})
	ts.Check(ts.Exec("cgqd", "init", "--domain", domain, "--smtp", "127.0.0.1:0", "--relay", ts.Getenv("RELAY")))
	s.set(ts, []string{"queue", "journal_size", `"48M"`}) // the least
	if !s.keeps {
		s.set(ts, []string{"queue", "allow_any_file_system", "true"})
	}
	s.set(ts, []string{"log", "level", `"5"`})
}

func (s *site) set(ts *testscript.TestScript, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: set FILE KEY VALUE")
	}
	name := filepath.Join(s.base, "Settings", args[0]+".toml")
	b, err := os.ReadFile(name)
	ts.Check(err)
	start, end, key := 0, len(b), args[1]
	if table, rest, ok := strings.Cut(key, "."); ok {
		key = rest
		if start = bytes.Index(b, []byte("\n["+table+"]\n")); start < 0 {
			ts.Fatalf("%s has no table %s", name, table)
		}
		if next := bytes.Index(b[start+1:], []byte("\n[")); next >= 0 {
			end = start + 1 + next
		}
	}
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` = .*$`)
	if top := bytes.Index(b, []byte("\n[")); start == 0 && top >= 0 && line.Match(b[:top]) { // others are in tables
		end = top
	}
	if n := len(line.FindAll(b[start:end], -1)); n != 1 {
		ts.Fatalf("%s has %d lines with %s, want 1", name, n, args[1])
	}
	changed := line.ReplaceAllLiteral(b[start:end], []byte(key+" = "+args[2]))
	ts.Check(os.WriteFile(name, slices.Concat(b[:start], changed, b[end:]), 0o600))
}

// port finds an address and keeps it: bound, so that the system gives it to nobody
// as the port of a connection, and not listened on, so that who asks for it (with
// SO_REUSEADDR, as servers do) can listen there, and who connects is refused.
func (s *site) port(ts *testscript.TestScript, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: port VAR")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ts.Check(err)
	s.ports = append(s.ports, fd)
	ts.Check(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	ts.Check(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	ts.Check(err)
	ts.Setenv(args[0], "127.0.0.1:"+strconv.Itoa(name.(*unix.SockaddrInet4).Port))
}

func address(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: address VAR")
	}
	all, err := net.InterfaceAddrs()
	ts.Check(err)
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			ts.Setenv(args[0], n.IP.String())
			return
		}
	}
	siteOf(ts).t.Skip("this machine has no address but loopback")
}

// messages returns the message files and Temp Files in the Queue.
func (s *site) messages(ts *testscript.TestScript) (names []string) {
	err := filepath.WalkDir(filepath.Join(s.base, "Queue"), func(name string, _ fs.DirEntry, err error) error {
		if ext := filepath.Ext(name); ext == ".msg" || ext == ".tmp" {
			names = append(names, name)
		}
		if os.IsNotExist(err) { // gone since its directory was read
			return nil
		}
		return err
	})
	ts.Check(err)
	return names
}

func (s *site) empty(ts *testscript.TestScript, args []string) {
	if len(args) > 0 {
		ts.Fatalf("usage: empty")
	}
	wait(ts, func() (bool, string) {
		out, errOut, _, err := s.run(ts, "cgq", "message", "list", "-o", "name")
		ts.Check(err)
		return out == "" && errOut == "", "messages in the queue:\n" + out + errOut
	})
	wait(ts, func() (bool, string) {
		out, _, _, err := s.run(ts, "cgq", "stat", "numTrashedMessages", "-o", "csv", "--no-headers", "--columns", "value")
		ts.Check(err)
		trashed, err := strconv.Atoi(strings.TrimSpace(out)) // they may have files, and keep them
		ts.Check(err)
		names := s.messages(ts)
		return len(names) <= trashed, fmt.Sprint("files left: ", names)
	})
}

func (s *site) files(ts *testscript.TestScript, args []string) {
	n := number(ts, args, 0)
	wait(ts, func() (bool, string) {
		names := s.messages(ts)
		return len(names) == n, fmt.Sprintf("%d message files, want %d", len(names), n)
	})
}

// number is the argument i.
func number(ts *testscript.TestScript, args []string, i int) int {
	if i >= len(args) {
		ts.Fatalf("an argument is missing")
	}
	n, err := strconv.Atoi(args[i])
	ts.Check(err)
	return n
}

func (s *site) maildir(ts *testscript.TestScript, args []string) {
	n := number(ts, args, 1)
	local, domain, _ := strings.Cut(args[0], "@")
	dir := filepath.Join(s.base, "Domains", domain, local, "Maildir", "new")
	var all []fs.DirEntry
	wait(ts, func() (bool, string) {
		var err error
		all, err = os.ReadDir(dir)
		ts.Check(err)
		return len(all) >= n, fmt.Sprintf("%d messages, want %d", len(all), n)
	})
	if len(all) > n {
		ts.Fatalf("%d messages, want %d", len(all), n)
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return cmp.Compare(idOf(ts, a.Name()), idOf(ts, b.Name())) })
	texts := make([]string, n)
	for i, e := range all {
		texts[i] = ts.ReadFile(filepath.Join(dir, e.Name()))
	}
	keep(ts, args[0], texts)
}

var inName = regexp.MustCompile(`\.M([0-9]+)R`)

// idOf is the id of a message, which is in the name of its file.
func idOf(ts *testscript.TestScript, name string) int {
	m := inName.FindStringSubmatch(name)
	if m == nil {
		ts.Fatalf("%s: a file in a Maildir without the id of its message", name)
	}
	return number(ts, m, 1)
}

// keep writes texts to DIR/1.eml and so on, for the story to look at.
func keep(ts *testscript.TestScript, dir string, texts []string) {
	dir = ts.MkAbs(dir)
	ts.Check(os.RemoveAll(dir))
	ts.Check(os.MkdirAll(dir, 0o700))
	for i, text := range texts {
		ts.Check(os.WriteFile(filepath.Join(dir, strconv.Itoa(i+1)+".eml"), []byte(text), 0o600))
	}
}
