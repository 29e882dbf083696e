package server

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/control"
	"cgq/pkg/disk"
	"cgq/pkg/stats"
)

// ruledServer is one that has its settings, and nothing else.
func ruledServer(t *testing.T) (s *server, file string) {
	t.Helper()
	base := t.TempDir()
	if err := initialize(base, new(bytes.Buffer), func(c *config) { c.General.MainDomain, c.Local.Domains = "example.org", []string{"example.org"} }); err != nil {
		t.Fatal(err)
	}
	fsys, err := disk.OpenOS(base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	c, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	s = &server{fs: &storage{FS: fsys}, system: slog.New(slog.DiscardHandler), stats: stats.Set{}}
	s.doors.open = []door{{address: defaults().SMTP.Receive.Listen[0]}} // which is not really
	s.use(c)
	return s, filepath.Join(base, "Settings", "rules.toml")
}

const oneRule = "[[rule]]\nname = \"a\"\npriority = 1\nactions = [[\"Discard\"]]\n"

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestANewServerHasAnInactiveRule(t *testing.T) {
	s, _ := ruledServer(t)
	if !s.liveRules().Empty() || len(s.liveRules().Rules()) != 1 {
		t.Errorf("%+v", s.liveRules().Rules())
	}
}

func TestWrongRulesLeaveTheOldOnes(t *testing.T) {
	s, file := ruledServer(t)
	write(t, file, oneRule)
	s.reload()
	if s.liveRules().Empty() {
		t.Fatal("the Rule is not applied")
	}
	write(t, file, strings.Replace(oneRule, "Discard", "Discrad", 1))
	if err := s.reread(); err == nil || !strings.Contains(err.Error(), `Settings/rules.toml:4: rule[1].actions: Rule "a"`) {
		t.Errorf("reread = %v", err)
	}
	if s.liveRules().Empty() {
		t.Error("the old Rule is gone")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if s.reload(); !s.liveRules().Empty() {
		t.Error("without a file there are Rules")
	}
}

func TestRulesAreReplaced(t *testing.T) {
	s, file := ruledServer(t)
	old, _ := os.ReadFile(file)
	for _, wrong := range []string{"[[rule]]\n", "rule = 5\n", "\x00"} {
		err := s.replaceRules(t.Context(), control.Actor{Name: "ann"}, []byte(wrong))
		if now, _ := os.ReadFile(file); err == nil || !bytes.Equal(now, old) {
			t.Errorf("%q: %v, the file is\n%s", wrong, err, now)
		}
	}
	if err := s.replaceRules(t.Context(), control.Actor{Name: "ann"}, []byte(oneRule)); err != nil || s.liveRules().Empty() {
		t.Fatalf("%v, %+v", err, s.liveRules().Rules())
	}
	if kept, err := os.ReadFile(file + ".old"); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the old file: %v\n%s", err, kept)
	}
	write(t, file, "broken") // it can be replaced
	if err := s.replaceRules(t.Context(), control.Actor{Name: "ann"}, []byte(oneRule)); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(filepath.Dir(file), "log.toml"), "level = 9\n")
	err := s.replaceRules(t.Context(), control.Actor{Name: "ann"}, []byte("# none\n"))
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.KindConflict || !strings.Contains(err.Error(), "log.toml") || s.liveRules().Empty() {
		t.Errorf("other settings are wrong: %v", err)
	}
}
