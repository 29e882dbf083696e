package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cgq/pkg/mail"
)

func TestOwnBounceClasses(t *testing.T) {
	s, file := ruledServer(t)
	file = filepath.Join(filepath.Dir(file), "bounce-classes.toml")
	house := mail.Result{Action: mail.Failed, Code: 554, Text: "see our house rules, user unknown"}
	class := func(want string) {
		t.Helper()
		if got, text := s.class(house), s.classOf(house.String()); got != want || text != want {
			t.Errorf("it is %s, as a text %s; want %s", got, text, want)
		}
	}
	class("unknown-address") // init has written a file without rules
	write(t, file, "[[rule]]\nclass = \"rate\"\ntext = [\"house rules\"]\n")
	s.reload()
	class("rate")
	write(t, file, "[[rule]]\nclass = \"rat\"\ntext = [\"house rules\"]\n")
	if err := s.reread(); err == nil || !strings.Contains(err.Error(), `Settings/bounce-classes.toml:2: rule[1].class: "rat" is no class`) {
		t.Errorf("reread = %v", err)
	}
	class("rate") // the old one stays
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.reload()
	class("unknown-address")
}
