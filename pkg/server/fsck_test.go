package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"cgq/pkg/disk"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
	"cgq/pkg/spool"
)

// newBase is a base directory whose Queue holds so many messages, cleanly stopped.
func newBase(t *testing.T, messages int) string {
	t.Helper()
	base := t.TempDir()
	if err := initialize(base, new(bytes.Buffer), func(c *config) {
		c.General.MainDomain, c.Local.Domains = "example.org", []string{"example.org"}
		c.Queue.Journal.Size = 3 * segment
	}); err != nil {
		t.Fatal(err)
	}
	fsys, err := disk.OpenOS(base)
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	release, err := lock(base, nil) // as a daemon leaves it
	if err != nil {
		t.Fatal(err)
	}
	release()
	s, _, err := spool.Open(fsys, "Queue", spool.Options{Journal: journal.Options{Segments: 3}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		d, err := s.Draft(&mail.Envelope{Source: mail.SMTP, ReturnPath: mail.Address{Local: "s", Domain: "a.example"},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: "r", Domain: "b.example"}}}})
		if err == nil {
			_, err = d.Write([]byte("Subject: x\n\ntext\n"))
		}
		if err == nil {
			_, err = d.Commit(context.Background(), journal.Intake, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Empty(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return base
}

// cgqd runs a command line.
func cgqd(base string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := newCommand(&out, &out)
	cmd.SetArgs(append(args, "--base", base))
	err := cmd.Execute()
	return out.String(), err
}

// tree is everything below a directory, and when it was changed.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		is, err := os.Lstat(name)
		if err != nil {
			return err
		}
		var b []byte
		if is.Mode().IsRegular() && is.Size() < 1<<20 && is.Mode().Perm() != 0 {
			b, err = os.ReadFile(name)
		}
		all[name] = fmt.Sprint(is.Mode(), is.Size(), is.ModTime(), string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFsckOfWhatIsInOrder(t *testing.T) {
	base := newBase(t, 3)
	before := tree(t, base)
	for range 2 { // one does not lock the other out
		out, err := cgqd(base, "fsck")
		if err != nil || !strings.Contains(out, "messages   3; 0 of them held because of damage, 0 in the journal alone\n") ||
			!strings.Contains(out, "findings   0\n") {
			t.Errorf("fsck: %v\n%s", err, out)
		}
	}
	if !reflect.DeepEqual(before, tree(t, base)) {
		t.Error("fsck has changed something")
	}
	out, err := cgqd(base, "fsck", "-o", "json")
	var c checked
	if err2 := json.Unmarshal([]byte(out), &c); err != nil || err2 != nil || c.Messages != 3 || c.Spool == "" || c.Segments.Free != 3 ||
		c.Findings == nil || c.Kept == nil || c.Temporary == nil {
		t.Errorf("fsck -o json: %v, %v\n%s", err, err2, out)
	}
	if _, err := cgqd(base, "fsck", "-o", "xml"); !errors.As(err, new(usageError)) {
		t.Errorf("fsck -o xml: %v, want a usage error", err)
	}
	if out, err := cgqd(t.TempDir(), "fsck"); err != nil || !strings.Contains(out, "never opened") {
		t.Errorf("fsck of nothing: %v\n%s", err, out)
	}
	if _, err := cgqd(filepath.Join(base, "x"), "fsck"); err == nil {
		t.Error("fsck of no directory is in order")
	}
}

// Whatever lies there: it is named and counted, and neither followed nor waited for.
func TestFsckOfHostileEntries(t *testing.T) {
	base := newBase(t, 6)
	queue := filepath.Join(base, "Queue")
	at := func(name string) string { return filepath.Join(queue, name) }
	edit := func(name string, how func([]byte) []byte) error {
		b, err := os.ReadFile(at(name))
		return errors.Join(err, os.WriteFile(at(name), how(b), 0o600))
	}
	huge := func(name string) error {
		f, err := os.OpenFile(at(name), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(f.Truncate(10<<30), f.Close())
	}
	outside := filepath.Join(base, "outside")
	want := map[string]string{}
	for _, e := range []struct {
		name, why, fate string
		err             error
	}{
		{"01/1.msg", "shorter than its first line", "moved to Queue/damaged", os.Truncate(at("01/1.msg"), 0)},
		{"02/2.msg", "its first line says", "moved to Queue/damaged", os.Truncate(at("02/2.msg"), 200)},
		{"03/3.msg", "its check sum is wrong", "moved to Queue/damaged", edit("03/3.msg", func(b []byte) []byte {
			return bytes.Replace(b, []byte("text"), []byte("tExt"), 1)
		})},
		{"04/4.msg", "bytes of facts", "moved to Queue/damaged", huge("04/4.msg")}, // a good start, and 10 GB of nothing
		{"07/7.msg", "not a regular file", "left alone", os.Symlink(outside, at("07/7.msg"))},
		{"08/8.msg", "its first line is not one of ours", "moved to Queue/damaged", os.Link(at("05/5.msg"), at("08/8.msg"))},
		{"09/9.msg", "not a regular file", "left alone", unix.Mkfifo(at("09/9.msg"), 0o600)},
		{"10/10.msg", "not a regular file", "left alone", os.Mkdir(at("10/10.msg"), 0o700)},
		{"11/11.msg", "its first line is not one of ours", "moved to Queue/damaged", huge("11/11.msg")},
		{"12/12.tmp", "not a regular file", "left alone", unix.Mkfifo(at("12/12.tmp"), 0o600)},
		{"13/\x1b[2Jx\u202e\n", "it has no name of ours here", "left alone", os.WriteFile(at("13/\x1b[2Jx\u202e\n"), nil, 0o600)},
	} {
		if e.err != nil {
			t.Fatal(e.name, e.err)
		}
		want["Queue/"+e.name] = e.why + "|" + e.fate
	}
	if err := errors.Join(os.WriteFile(at("14/14.tmp"), []byte("x"), 0o600), os.WriteFile(at("damaged/old"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 { // nobody hides from root
		if err := os.Chmod(at("06/6.msg"), 0); err != nil {
			t.Fatal(err)
		}
		want["Queue/06/6.msg"] = "permission denied|left alone"
	}
	before := tree(t, base)
	out, err := cgqd(base, "fsck", "-o", "json")
	var c checked
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err == nil || len(c.Findings) != len(want) || c.Messages != 8-len(want)+5 || len(c.Temporary) != 1 || len(c.Kept) != 1 {
		t.Errorf("fsck: %v, %s", err, out)
	}
	for _, f := range c.Findings {
		why, fate, _ := strings.Cut(want[f.File], "|")
		if why == "" || !strings.Contains(f.Why, why) || f.Fate != fate {
			t.Errorf("%q: %q; %q, want %q; %q", f.File, f.Why, f.Fate, why, fate)
		}
	}
	if !reflect.DeepEqual(before, tree(t, base)) {
		t.Error("fsck has changed something")
	}
	text, _ := cgqd(base, "fsck")
	for _, out := range []string{out, text} {
		if strings.ContainsFunc(out, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == '\u202e' }) {
			t.Errorf("something of a stranger reaches the terminal: %q", out)
		}
	}
	if !strings.Contains(text, `Queue/13/\x1b[2Jx\u202e\n: `) || !strings.Contains(text, "           Queue/14/14.tmp\n") {
		t.Errorf("fsck:\n%s", text)
	}
	repairs(t, base, &c)
}

// repairs looks whether a repair does what was foretold.
func repairs(t *testing.T, base string, was *checked) {
	t.Helper()
	out, err := cgqd(base, "fsck", "--repair", "-o", "json")
	var c checked
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	moved := 0
	for _, f := range was.Findings {
		if strings.HasPrefix(f.Fate, "moved") {
			moved++
		}
	}
	after := c.Repaired
	if err == nil || !reflect.DeepEqual(c.Findings, was.Findings) || after == nil || len(after.Findings) != len(was.Findings)-moved ||
		len(after.Kept) != 1+moved || len(after.Temporary) > 0 || after.Messages != was.Messages {
		t.Errorf("repair: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(base, "outside")); err == nil {
		t.Error("a link was followed")
	}
	for _, f := range after.Findings { // a person takes away what is left alone
		if err := os.Remove(filepath.Join(base, f.File)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := cgqd(base, "fsck", "--repair"); err != nil || !strings.Contains(out, "it is in order\n") {
		t.Errorf("second repair: %v\n%s", err, out)
	}
}

// An id ceiling that cannot be read, and half a restore: a start refuses, and so does the
// check.
func TestFsckRefusesWhatAStartRefuses(t *testing.T) {
	for name, want := range map[string]string{"ids": "not a number and an identity", "restoring": "was not finished"} {
		base := newBase(t, 1)
		if err := os.WriteFile(filepath.Join(base, "Queue", name), []byte("V 2 newer \x1b[2J"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"fsck"}, {"fsck", "--repair"}} {
			if out, err := cgqd(base, args...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: %v, want %q\n%s", args, err, want, out)
			}
		}
	}
}

// Where the Queue cannot be written it can be checked.
func TestFsckOfAReadOnlyQueue(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	base := newBase(t, 2)
	if err := unix.Mount(base, base, "", unix.MS_BIND, ""); err != nil {
		t.Skip("nothing can be mounted here: ", err)
	}
	defer unix.Unmount(base, unix.MNT_DETACH) //nolint:errcheck // the directory is the test's
	if err := unix.Mount("", base, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if out, err := cgqd(base, "fsck"); err != nil || !strings.Contains(out, "messages   2;") {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	if _, err := cgqd(base, "fsck", "--repair"); !strings.Contains(fmt.Sprint(err), "read-only") {
		t.Errorf("repair: %v", err)
	}
}

// While a daemon holds the lock it is named; while a check goes on, nobody starts.
func TestFsckAndTheLock(t *testing.T) {
	base := newBase(t, 1)
	release, err := lock(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "is in use by cgqd with process id " + strconv.Itoa(os.Getpid())
	for _, args := range [][]string{{"fsck"}, {"fsck", "--repair"}} {
		if _, err := cgqd(base, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
	release()
	cmd := exec.Command("true") // a process that has ended
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(base, "Queue", "lock")
	if err := os.WriteFile(name, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	looked, err := lockLook(base)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(base, nil); err == nil || !strings.Contains(err.Error(), "is being checked by cgqd fsck") {
		t.Errorf("lock while a check goes on: %v", err)
	}
	if !looked() {
		t.Error("the check was disturbed")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	looked, err = lockLook(base)
	if err != nil {
		t.Fatal(err)
	}
	release, err = lock(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if looked() {
		t.Error("a daemon that has started meanwhile was not seen")
	}
}
