package top

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"cgq/pkg/cli/screen"
)

// A page is text above the table: the answer of a command, or the help. One with rows has
// a line for each thing, whose first word is its name, and one of them is selected.
type page struct {
	title string
	lines []string // as wide as the screen
	first int      // on the screen

	rows   bool
	at     int                       // the selected one, counted from the line below the heads
	choose func(name string) tea.Cmd // what Enter does with it
	hint   string                    // the keys of it

	again func() tea.Cmd // has the text made anew; nil: it stays as it is
}

// heads is how many lines stay above the rows.
func (p *page) heads() int {
	if p.rows {
		return 1
	}
	return 0
}

func (p *page) scroll(by, rows int) {
	most := max(0, len(p.lines)-rows)
	if !p.rows {
		p.first = max(0, min(p.first+by, most))
		return
	}
	p.at = max(0, min(p.at+by, len(p.lines)-2))
	p.first = max(min(p.first, p.at, most), p.at-(rows-1)+1, 0)
}

// name is that of the selected row.
func (p *page) name() string {
	if !p.rows || p.at+1 >= len(p.lines) {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimSpace(p.lines[p.at+1]), " ")
	return name
}

// text is the lines of a page.
func text(s string, width int) (lines []string) {
	for line := range strings.SplitSeq(strings.TrimRight(s, "\n"), "\n") {
		lines = append(lines, screen.Wrap(screen.Firm(line), width)...)
	}
	return lines
}

// open shows what a command says as a page.
func (m *model) open(title string, args ...string) tea.Cmd {
	return m.run(command{args, func(a Answer) tea.Cmd {
		if a.Failed {
			m.say(a.Text, true)
			return nil
		}
		p := &page{title: title, lines: text(a.Text, m.width), again: func() tea.Cmd { return m.open(title, args...) }}
		if was := m.page; was != nil && was.title == title {
			p.first = was.first
			p.scroll(0, m.pageRows())
		}
		m.page = p
		return nil
	}})
}

// pick shows the table that a command prints, with a row to choose.
func (m *model) pick(p page, args ...string) tea.Cmd {
	return m.run(command{args, func(a Answer) tea.Cmd {
		switch {
		case a.Failed:
			m.say(a.Text, true)
			return nil
		case strings.Count(a.Text, "\n") < 2:
			m.page = nil
			if m.notice == "" { // else that is of the act that took the last one
				m.say("none: "+p.title, false)
			}
			return nil
		}
		if was := m.page; was != nil && was.title == p.title {
			p.at, p.first = was.at, was.first
		}
		p.rows = true
		p.again = func() tea.Cmd { return m.pick(p, args...) }
		p.lines = strings.Split(strings.TrimRight(a.Text, "\n"), "\n")
		for i, line := range p.lines {
			p.lines[i] = screen.Cut(screen.Firm(strings.TrimRight(line, " ")), m.width-2)
		}
		p.scroll(0, m.pageRows())
		m.page = &p
		return nil
	}})
}

// again makes the page anew, and leaves what is said.
func (m *model) again() tea.Cmd {
	if m.page == nil || m.page.again == nil || m.running != "" {
		return nil
	}
	notice := m.notice
	cmd := m.page.again()
	m.notice = notice // of an act before it
	return cmd
}

// help is the page of the keys.
func (m *model) help() {
	m.page = &page{title: "Keys", lines: text(helpText, m.width)}
}

const helpText = `In the table of host queues
  ↑ ↓ PgUp PgDn Home End   select a queue; also k and j
  Enter x                  explain why it waits, and what happens next
  m                        its messages; Enter there shows the life of one
  r                        release it now
  h                        hold it: a reason is asked for
  u                        the holds; Enter there ends one
  R d                      reject all in it: a text is asked for, then "yes"
  s a e n                  sort by size, age, error, name
  /                        show only queues with a text in them; Esc shows all
  Space                    look at once
  q Ctrl-C                 leave

In a page
  ↑ ↓ PgUp PgDn Home End   scroll, or select a row
  Space                    make it anew
  Esc q                    back

In  and Out are messages a minute that SMTP took and sent, of the last minute; a bar is of
5 seconds. A sort puts what needs a look first: the most, the oldest, those with errors.`
