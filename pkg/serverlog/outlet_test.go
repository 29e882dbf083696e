package serverlog_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"cgq/pkg/serverlog"
)

// receive makes the socket of another log.
func receive(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// datagrams are those that have come.
func datagrams(t *testing.T, c *net.UnixConn) (all []string) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 256<<10)
	for n := 0; err == nil; {
		if e := raw.Control(func(fd uintptr) { n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_DONTWAIT) }); e != nil {
			t.Fatal(e)
		}
		if err == nil {
			all = append(all, string(b[:n]))
		}
	}
	return all
}

const hostile = "HELO \x1b[2J\nFeb  1 00:00:00 root: <0>owned\r\n\x00\u202e\xff"

func TestForms(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 20, 0, 20e6, time.UTC)
	var text bytes.Buffer
	log, _ := serverlog.New(&text, "SMTPI", serverlog.All)
	serverlog.Session(log, 7, "[192.0.2.1] x").Warn(hostile, "id", 4711)
	l, ok := serverlog.ParseLine(text.String(), at)
	if !ok {
		t.Fatalf("%q is no line", text.String())
	}
	l.Time = at
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	line := `SMTPI-000007([192.0.2.1]\x20x) [4711] HELO \x1b[2J\nFeb  1 00:00:00 root: <0>owned\r\n\x00\u202e\xff`
	pid := os.Getpid()
	for _, tt := range []struct {
		name string
		form serverlog.Form
		want string
	}{
		{"RFC 5424", serverlog.Syslog("cgqd", 2), fmt.Sprintf("<20>1 2026-11-23T08:20:00.020000Z %s cgqd %d SMTPI - %s", host, pid, line)},
		{"local", serverlog.LocalSyslog("cgqd", 16), fmt.Sprintf("<132>%s cgqd[%d]: %s", at.Local().Format("Jan _2 15:04:05"), pid, line)},
		{"journal", serverlog.Journal("cgqd", 2), "PRIORITY=4\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=cgqd\nCGQ_TAG=SMTPI\nCGQ_LEVEL=3\nCGQ_ID=4711\nMESSAGE=" + line + "\n"},
	} {
		if got := string(tt.form(nil, l)); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	// A value with a line end cannot make a field of its own (it cannot come from a log).
	l.ID, l.Tag, l.Text = 0, "SMTP", "a\nPRIORITY=0"
	want := "PRIORITY=4\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=cgqd\nCGQ_TAG=SMTP\nCGQ_LEVEL=3\nMESSAGE\n\x11\x00\x00\x00\x00\x00\x00\x00SMTP a\nPRIORITY=0\n"
	if got := string(serverlog.Journal("cgqd", 2)(nil, l)); got != want {
		t.Errorf("a line end: got\n%q\nwant\n%q", got, want)
	}
}

// The levels as syslog has them.
func TestSeverities(t *testing.T) {
	for level, want := range map[serverlog.Line]string{
		{Level: serverlog.Crash}: "<18>", {Level: serverlog.Failure}: "<19>", {Level: serverlog.Major}: "<21>",
		{Level: serverlog.Problem}: "<20>", {Level: serverlog.Low}: "<22>", {Level: serverlog.All}: "<23>",
	} {
		if got := string(serverlog.Syslog("cgqd", 2)(nil, level)); !strings.HasPrefix(got, want) {
			t.Errorf("level %d: %s, want %s", serverlog.LevelDigit(level.Level), got, want)
		}
	}
}

// An outlet waits for its socket, keeps what it has room for, and says what was lost.
func TestOutletWaitsForItsSocket(t *testing.T) {
	dir := t.TempDir()
	socket, logs := filepath.Join(dir, "log"), filepath.Join(dir, "SystemLogs")
	l := open(t, logs)
	defer l.Close()
	o := serverlog.OpenOutlet(serverlog.OutletOptions{Name: "syslog", Socket: socket, Level: serverlog.Low,
		Form: serverlog.Syslog("cgqd", 2), Say: l.Logger("SYSTEM")})
	defer o.Close()
	l.SendTo(o)
	log := l.Logger("SMTP")
	log.Info("first")
	log.Debug("not important enough")
	long := strings.Repeat("x", 8000)
	for range 200 { // 1.6 MB
		log.Info(long)
	}
	c := receive(t, socket)
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var got []string
	said := regexp.MustCompile(`SYSTEM syslog at .*/log works again; lines that were lost to it: ([0-9]+)`)
	var lost []string
	for b := make([]byte, 64<<10); lost == nil; {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("%v after %d datagrams", err, len(got))
		}
		got = append(got, string(b[:n]))
		lost = said.FindStringSubmatch(got[len(got)-1])
	}
	all := strings.Join(got, "\n")
	if !strings.HasSuffix(got[0], "SMTP - SMTP first") || strings.Contains(all, "not important") {
		t.Errorf("the first is %.100s", got[0])
	}
	n, err := strconv.Atoi(lost[1])
	if came := strings.Count(all, long); err != nil || n == 0 || came+n != 200 {
		t.Errorf("%d of 200 came, and %s were said to be lost", came, lost[1])
	}
	l.Flush()
	if n := strings.Count(strings.Join(lines(t, logs, time.Now()), "\n"), "no such file or directory; lines wait for it"); n != 1 {
		t.Errorf("the Server Log says %d times that lines wait", n)
	}
}

// A receiver that is there and reads nothing keeps neither those who log waiting nor the stop.
func TestOutletToOneWhoDoesNotRead(t *testing.T) {
	dir := t.TempDir()
	c := receive(t, filepath.Join(dir, "log"))
	defer c.Close()
	l := open(t, filepath.Join(dir, "SystemLogs"))
	o := serverlog.OpenOutlet(serverlog.OutletOptions{Name: "journal", Socket: filepath.Join(dir, "log"),
		Form: serverlog.Journal("cgqd", 2), Say: l.Logger("SYSTEM")})
	l.SendTo(o)
	log := l.Logger("SMTP")
	began := time.Now()
	for i := range 20_000 {
		log.Info("line", "n", i)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("to log took %v", took)
	}
	o.Close()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("to close took %v", took)
	}
}

// The other log is started again: another socket of the same name.
func TestOutletFindsAnotherSocket(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "log")
	synctest.Test(t, func(t *testing.T) {
		l := open(t, filepath.Join(dir, "SystemLogs"))
		o := serverlog.OpenOutlet(serverlog.OutletOptions{Name: "syslog", Socket: socket,
			Form: serverlog.LocalSyslog("cgqd", 2), Say: l.Logger("SYSTEM")})
		l.SendTo(o)
		log := l.Logger("SMTP")
		c := receive(t, socket)
		log.Info("one")
		synctest.Wait()
		if got := datagrams(t, c); len(got) != 1 || !strings.HasSuffix(got[0], ": SMTP one") {
			t.Errorf("got %q", got)
		}
		c.Close()
		if err := os.RemoveAll(socket); err != nil {
			t.Fatal(err)
		}
		log.Info("two")
		time.Sleep(5 * time.Second)
		c = receive(t, socket)
		defer c.Close()
		time.Sleep(1500 * time.Millisecond)
		log.Info("three")
		l.Close()
		o.Close()
		o.Close() // once more does nothing
		var got []string
		for _, d := range datagrams(t, c) {
			_, text, _ := strings.Cut(d, "]: ")
			got = append(got, text)
		}
		if len(got) != 4 || got[0] != "SMTP two" || !strings.Contains(got[1], "lines wait for it") ||
			!strings.HasSuffix(got[2], "lost to it: 0") || got[3] != "SMTP three" {
			t.Errorf("got %q", got)
		}
	})
}
