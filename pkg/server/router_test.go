package server

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/disk"
	"cgq/pkg/router"
	"cgq/pkg/settings"
)

// base makes a base directory, and returns its disk.
func base(t *testing.T) (*disk.OS, string) {
	t.Helper()
	dir := t.TempDir()
	if err := initialize(dir, io.Discard, func(c *config) { c.General.MainDomain, c.Local.Domains = "a.test", []string{"a.test"} }); err != nil {
		t.Fatal(err)
	}
	fsys, err := disk.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return fsys, filepath.Join(dir, settingsDir)
}

func TestTheRouterTableIsWrittenOnceAndMayBeMissing(t *testing.T) {
	fsys, dir := base(t)
	file := filepath.Join(dir, routerFile)
	if text, err := os.ReadFile(file); err != nil || string(text) != router.Default {
		t.Errorf("init wrote %q, %v", text, err)
	}
	if err := os.WriteFile(file, []byte("a.test = b.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeRouter(fsys); err != nil {
		t.Error(err)
	}
	if c, err := load(fsys); err != nil || c.router.Len() != 1 {
		t.Errorf("load = %v; want the one record", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if c, err := load(fsys); err != nil || c.router.Len() != 2 {
		t.Errorf("load without a file = %v; want the default", err)
	}
}

func TestProblemsOfTheTableStandAmongTheOthers(t *testing.T) {
	fsys, dir := base(t)
	for name, text := range map[string]string{"log.toml": "level = \"9\"\n", routerFile: "; fine\nx\n", "smtp.toml": "[send]\nrelay_port = 0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := load(fsys)
	var all settings.Problems
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("load = %v; want three problems", err)
	}
	for i, want := range []string{"Settings/log.toml:1: level: ", "Settings/router.txt:2: no =", "Settings/smtp.toml:2: send.relay_port: "} {
		if got := all[i].Error(); !strings.HasPrefix(got, want) {
			t.Errorf("problem %d: %s; want %s", i, got, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, routerFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, routerFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := loadRouter(fsys); !errors.As(err, &all) || len(all) != 1 || all[0].File != "Settings/router.txt" {
		t.Errorf("a directory in its place: %v", err)
	}
}
