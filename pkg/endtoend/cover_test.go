package endtoend

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page is what docs/commands says of a command.
type page struct {
	name  string
	flags map[string]string // long, with the short form or nothing
}

var (
	pageName = regexp.MustCompile(`(?m)^# (cgq.*)$`)
	pageFlag = regexp.MustCompile(`(?m)^ +(?:-(\w), |    )--([a-z-]+)`)
)

// pages reads docs/commands, which a test of package cli holds to the program.
func pages(t *testing.T) (all []page) {
	t.Helper()
	files, err := filepath.Glob("../../docs/commands/*.md")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d pages of commands, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := page{flags: map[string]string{}}
		if m := pageName.FindSubmatch(b); m != nil {
			p.name = string(m[1])
		}
		for _, m := range pageFlag.FindAllSubmatch(b, -1) {
			p.flags[string(m[2])] = string(m[1])
		}
		all = append(all, p)
	}
	return all
}

// lines are all lines of all stories.
func lines(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.Split(string(b), "\n")...)
	}
	return all
}

// program is whose page it is.
func (p *page) program() string {
	name, _, _ := strings.Cut(p.name, " ")
	return name
}

// shared are the flags that all commands of a program have.
func shared(all []page, program string) map[string]bool {
	count, commands := map[string]int{}, 0
	for _, p := range all {
		if p.program() == program {
			commands++
			for flag := range p.flags {
				count[flag]++
			}
		}
	}
	given := map[string]bool{}
	for flag, n := range count {
		given[flag] = n == commands
	}
	return given
}

// Every command has a story, and every flag of its own is used with it in one; what all
// commands have, and what selects, is used somewhere.
func TestEveryCommandAndFlagHasAStory(t *testing.T) {
	all, stories := pages(t), lines(t)
	given := map[string]map[string]bool{"cgq": shared(all, "cgq"), "cgqd": shared(all, "cgqd")}
	selects := map[string]bool{"watch": true} // and all lists have that
	for _, flag := range strings.Fields("age all auth error ids-from limit module queue rcpt rcpt-domain sender sender-domain size source state subject where") {
		selects[flag] = true
	}
	used := func(lines []string, long, short string) bool {
		form := `--` + long + `\b`
		if short != "" {
			form += `| -` + short + `\b`
		}
		return slices.ContainsFunc(lines, regexp.MustCompile(form).MatchString)
	}
	for _, p := range all {
		if slices.ContainsFunc(all, func(o page) bool { return strings.HasPrefix(o.name, p.name+" ") }) {
			continue // a group
		}
		call := regexp.MustCompile(`\b` + regexp.QuoteMeta(strings.TrimPrefix(p.name, "cgq ")) + `\b`)
		with := slices.DeleteFunc(slices.Clone(stories), func(l string) bool { return !strings.Contains(l, "cgq") || !call.MatchString(l) })
		if len(with) == 0 {
			t.Errorf("%s has no story", p.name)
		}
		for flag, short := range p.flags {
			where := with
			if given[p.program()][flag] || selects[flag] {
				where = stories
			}
			if flag != "help" && !used(where, flag, short) {
				t.Errorf("%s --%s is in no story", p.name, flag)
			}
		}
	}
}
