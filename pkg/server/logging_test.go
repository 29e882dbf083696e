package server

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/serverlog"
	"cgq/pkg/settings"
)

// Each component has its own level, the Temp File Manager too (chapter: Temp File Manager, Log).
func TestLevelsByTag(t *testing.T) {
	log, err := serverlog.Open(crashdisk.NewTree(-1), "SystemLogs", serverlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	files, queue := log.Logger("TEMPFILE"), log.Logger("QUEUE")
	for _, tt := range []struct {
		levels        map[string]string
		files, queued bool // whether All Info is written
	}{
		{map[string]string{"TEMPFILE": "5"}, true, false},
		{map[string]string{"tempfile": "All Info"}, true, false},
		{map[string]string{"QUEUE": "5"}, false, true},
		{nil, false, false},
	} {
		set := loggingDefaults()
		set.Level, set.Levels = "Problems", tt.levels
		if err := set.Validate(); err != nil {
			t.Errorf("%v: %v", tt.levels, err)
		}
		set.apply(log)
		f, q := files.Enabled(t.Context(), serverlog.All), queue.Enabled(t.Context(), serverlog.All)
		if f != tt.files || q != tt.queued {
			t.Errorf("%v: All Info of TEMPFILE %v and QUEUE %v, want %v and %v", tt.levels, f, q, tt.files, tt.queued)
		}
	}
}

func TestLoggingThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		change func(*Logging)
		want   string
	}{
		{func(l *Logging) { l.Level = "6" }, "level: "},
		{func(l *Logging) { l.Levels["SMTP"] = "loud" }, "levels.SMTP: "},
		{func(l *Logging) { l.Levels["ENQUEUR"] = "5" }, "levels.ENQUEUR: no component has this tag; there are ADMIN, DEQUEUER, ENQUEUER,"},
		{func(l *Logging) { l.Keep = settings.Duration(time.Hour) }, "keep: "},
		{func(l *Logging) { l.KeepAudit = 4000 * settings.Day }, "keep_audit: "},
		{func(l *Logging) { l.KeepSize = 1000 }, "keep_size: "},
		{func(l *Logging) { l.Syslog.Level = "" }, "syslog.level: "},
		{func(l *Logging) { l.Syslog.Format = "rfc3164" }, "syslog.format: "},
		{func(l *Logging) { l.Syslog.Socket = "log" }, "syslog.socket: "},
		{func(l *Logging) { l.Syslog.Logs = []string{"all"} }, "syslog.logs: "},
		{func(l *Logging) { l.Journal.Facility = "post" }, "journal.facility: "},
		{func(l *Logging) { l.Journal.Socket = "/" + strings.Repeat("x", 107) }, "journal.socket: "},
	} {
		l := loggingDefaults()
		if err := l.Validate(); err != nil {
			t.Fatal(err)
		}
		tt.change(&l)
		if err := l.Validate(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", l, err, tt.want)
		}
	}
}

// What goes to syslog and to the journal follows the settings while the logs are open.
func TestLogsGoWhereTheSettingsSay(t *testing.T) {
	dir, err := os.MkdirTemp("", "cgq") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	listen := func(name string) (path string, next func() string) {
		path = filepath.Join(dir, name)
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return path, func() string {
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 64<<10)
			n, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			return string(b[:n])
		}
	}
	c := defaults()
	var fromSyslog, fromJournal func() string
	c.Log.Syslog.Socket, fromSyslog = listen("log")
	c.Log.Journal.Socket, fromJournal = listen("journal")
	c.Log.Syslog.Enabled, c.Log.Syslog.Logs = true, []string{"emails"}
	s := new(server)
	if err := s.openLogs(crashdisk.NewTree(-1), c); err != nil {
		t.Fatal(err)
	}
	say := func(what string) {
		for name, log := range map[string]*serverlog.Log{"server": s.log, "emails": s.emails, "audit": s.audit} {
			log.Logger("TEST").Error(name + " " + what)
		}
	}
	say("one")
	if got := fromSyslog(); !strings.HasPrefix(got, "<19>1 ") || !strings.HasSuffix(got, " TEST - TEST emails one") {
		t.Errorf("syslog has %q", got)
	}
	l := c.Log
	l.Syslog.Enabled, l.Journal.Enabled, l.Journal.Logs = false, true, []string{"audit"}
	s.useLogs(&l)
	say("two")
	if got := fromJournal(); !strings.HasSuffix(got, "CGQ_TAG=TEST\nCGQ_LEVEL=1\nMESSAGE=TEST audit two\n") {
		t.Errorf("the journal has %q", got)
	}
	l.Syslog.Enabled, l.Syslog.Format = true, "local"
	s.useLogs(&l)
	say("three")
	if got := fromSyslog(); !strings.HasSuffix(got, "]: TEST emails three") {
		t.Errorf("syslog has %q", got)
	}
	if err := s.log.Close(); err != nil {
		t.Error(err)
	}
	if err := s.closeSupplements(); err != nil {
		t.Error(err)
	}
}
