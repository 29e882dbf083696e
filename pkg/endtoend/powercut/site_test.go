package powercut

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"cgq/pkg/endtoend/program"
)

// A site is a base directory and the daemon that runs there, if one does.
type site struct {
	base   string
	bin    string
	daemon *program.Daemon
}

// The Accounts of a site: ann and bob get mail, carol sends all, and gets reports.
const (
	ann   = "ann@example.org"
	bob   = "bob@example.org"
	carol = "carol@example.org"
)

// newSite makes a base directory. Messages that must wait wait for long; each
// segment is freed and used again as soon as can be.
func newSite(t *testing.T, base, relay string) *site {
	t.Helper()
	s := &site{base: base, bin: built(t)}
	cmd := s.command("cgqd", "init", "--domain", "example.org", "--smtp", "127.0.0.1:0", "--relay", relay)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cgqd init: %v\n%s", err, out)
	}
	s.set(t, "queue", "journal_size", `"48M"`)
	s.set(t, "queue", "journal_age", `"200ms"`)
	s.set(t, "queue", "inline_limit", `"32K"`)
	s.set(t, "queue", "reporting_delay", `"0s"`)
	s.set(t, "queue", "minimum_free_space", `"4M"`)
	s.set(t, "queue", "minimum_free_inodes", "50")
	s.set(t, "smtp", "retry", `["1h"]`)
	if rand.IntN(2) == 0 { // two fsyncs a message, and a state more
		t.Log("enqueued asynchronously")
		s.set(t, "queue", "enqueue_asynchronously", `"anybody"`)
	}
	s.set(t, "log", "level", `"1"`) // what the relay said must stand in the Queue alone
	return s
}

// set changes a setting.
func (s *site) set(t *testing.T, file, key, value string) {
	t.Helper()
	name := filepath.Join(s.base, "Settings", file+".toml")
	b, err := os.ReadFile(name)
	check(t, err)
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(key) + ` = .*$`)
	end := len(b)
	if top := bytes.Index(b, []byte("\n[")); top >= 0 && line.Match(b[:top]) { // others are in tables
		end = top
	}
	if n := len(line.FindAll(b[:end], -1)); n != 1 {
		t.Fatalf("%s has %d lines with %s, want 1", name, n, key)
	}
	check(t, os.WriteFile(name, append(line.ReplaceAllLiteral(b[:end], []byte(key+" = "+value)), b[end:]...), 0o600))
}

// command is one of our programs. It ends when we do.
func (s *site) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Env = append(os.Environ(), "CGQ_BASE="+s.base)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// cgq runs cgq and returns its output and exit status. While a start still reads the Queue
// it asks again.
func (s *site) cgq(args ...string) (out []byte, status int, err error) {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		out, status, err = s.cgqOnce(args...)
		if err == nil || !strings.Contains(err.Error(), "the Queue is still being read") || time.Since(began) > patience {
			return out, status, err
		}
	}
}

func (s *site) cgqOnce(args ...string) (out []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "cgq"), args...)
	cmd.Env = append(os.Environ(), "CGQ_BASE="+s.base)
	cmd.Stdout, cmd.Stderr = &o, &e
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("cgq %v: %w: %s", args, err, e.Bytes())
	}
	return o.Bytes(), cmd.ProcessState.ExitCode(), err
}

// clearWay does what cgqd tells a person to do where a file system without a journal
// has made a file, or nothing that can be used, of the socket.
func (s *site) clearWay() (strays int, err error) {
	name := filepath.Join(s.base, "control.sock")
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	case info.Mode().Type() == fs.ModeSocket:
		return 0, nil
	}
	return 1, os.Remove(name)
}

// start starts the daemon and returns the address at which it takes mail.
func (s *site) start() (address string, err error) {
	if s.daemon, err = program.Start(s.command("cgqd"), patience); err != nil {
		return "", err
	}
	out, _, err := s.cgq("stat", "--listeners", "-o", "json")
	if err != nil {
		return "", err
	}
	var listeners []struct{ Address string }
	if err := json.Unmarshal(out, &listeners); err != nil || len(listeners) != 1 {
		return "", fmt.Errorf("cgq stat --listeners: %w: %s", err, out)
	}
	return listeners[0].Address, nil
}

// end ends the daemon with a signal.
func (s *site) end(signal syscall.Signal) error {
	d := s.daemon
	s.daemon = nil
	if d == nil {
		return nil
	}
	return d.End(signal)
}

// accounts creates the Accounts.
func (s *site) accounts(t *testing.T) {
	t.Helper()
	for _, a := range []string{ann, bob, carol} {
		_, _, err := s.cgq("account", "create", a)
		check(t, err)
	}
}

// A row is one message in one host queue, as cgq lists it.
type row struct {
	ID        int64
	Queue     string
	State     string
	LastError string `json:"last_error"`
}

// waits says whether it waits for a time to come.
func (r row) waits() bool { return r.State == "delayed" || r.State == "suspended" }

// queue lists the messages.
func (s *site) queue(args ...string) ([]row, error) {
	out, _, err := s.cgq(append([]string{"message", "list", "-o", "jsonl"}, args...)...)
	if err != nil {
		return nil, err
	}
	var rows []row
	for line := range bytes.Lines(out) {
		var r row
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("cgq message list: %w: %s", err, line)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// drain lets everything go that waits, until the queue is empty. What is left after
// a while without any change is returned.
func (s *site) drain() (left []row, err error) {
	last, since := -1, time.Now()
	for {
		rows, err := s.queue()
		if err != nil || len(rows) == 0 {
			return nil, err
		}
		if len(rows) != last {
			last, since = len(rows), time.Now()
		} else if time.Since(since) > patience/2 {
			return rows, nil
		}
		if _, status, err := s.cgq("queue", "release", "--module", "SMTP", "--yes"); err != nil && status != 1 {
			return nil, err // 1: nothing to release any more
		}
		time.Sleep(pause)
	}
}

// trashed counts the recipients in the trash.
func (s *site) trashed() (n int, err error) {
	out, _, err := s.cgq("trash", "list", "-o", "jsonl")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(out) {
		var r struct{ Recipients int }
		if err := json.Unmarshal(line, &r); err != nil {
			return 0, fmt.Errorf("cgq trash list: %w: %s", err, line)
		}
		n += r.Recipients
	}
	return n, nil
}

// A found is what there is of the messages on one site.
type found struct {
	boxes   map[place]int // texts in Maildirs
	reports map[place]int // about a recipient, in carol's
	alarms  []string      // files in Queue/damaged
	files   []string      // message files and Temp Files
	trash   int           // recipients in the trash
}

// A place is a message and one of its recipients.
type place struct{ Token, To string }

var finalRecipient = regexp.MustCompile(`(?mi)^Final-Recipient: *rfc822; *(\S+)`)

// look reads the Maildirs and names what is in the Queue.
func (s *site) look() (*found, error) {
	f := &found{boxes: map[place]int{}, reports: map[place]int{}}
	for _, account := range []string{ann, bob, carol} {
		dir := filepath.Join(s.base, "Domains", "example.org", account[:len(account)-len("@example.org")], "Maildir", "new")
		names, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			b, err := os.ReadFile(filepath.Join(dir, name.Name()))
			if err != nil {
				return nil, err
			}
			token := tokenIn(b)
			if account != carol {
				f.boxes[place{token, account}]++
				continue
			}
			for _, m := range finalRecipient.FindAllSubmatch(b, -1) {
				f.reports[place{token, string(m[1])}]++
			}
		}
	}
	err := filepath.WalkDir(filepath.Join(s.base, "Queue"), func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if errors.Is(err, fs.ErrNotExist) { // gone since its directory was read
				return nil
			}
			return err
		case d.IsDir():
		case filepath.Base(filepath.Dir(name)) == "damaged":
			f.alarms = append(f.alarms, name)
		case filepath.Ext(name) == ".tmp", filepath.Ext(name) == ".msg":
			f.files = append(f.files, name)
		}
		return nil
	})
	return f, err
}
