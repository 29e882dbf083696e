package top

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"cgq/pkg/cli/screen"
	"cgq/pkg/control"
)

// The lines above the table or the page, and below it.
const (
	headLines = 4
	footLines = 2
)

// The styles. Without colour bold and reverse are left.
var (
	bold    = lipgloss.NewStyle().Bold(true)
	reverse = lipgloss.NewStyle().Reverse(true)
	red     = lipgloss.NewStyle().Foreground(lipgloss.Red)
	green   = lipgloss.NewStyle().Foreground(lipgloss.Green)
	yellow  = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
)

// View draws all of it.
func (m *model) View() tea.View {
	lines := m.header()
	if m.page != nil {
		lines = append(lines, m.drawPage()...)
	} else {
		lines = append(lines, m.drawTable()...)
	}
	for len(lines) < m.height-footLines {
		lines = append(lines, "")
	}
	lines = append(lines[:m.height-footLines], m.footer()...)
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen = true
	return v
}

func (m *model) paint(s lipgloss.Style, text string) string {
	if !m.Colour {
		return text
	}
	return s.Render(text)
}

// header is what runs, how much waits, and how fast it goes.
func (m *model) header() []string {
	l, now := m.last, m.Now()
	who, since := "", now.Sub(l.at)
	if m.lost != nil {
		since = 0
	}
	if l.daemon.PID != 0 {
		who = screen.Firm(fmt.Sprintf("%s  %s for %s  Channels %s in %s out  cgqd %s", l.daemon.Domain, l.daemon.State,
			screen.Duration(l.daemon.Uptime.Duration()+since), short(l.elements[elementInNow]),
			short(l.elements[elementOutNow]), l.daemon.Version))
	}
	clock := now.Format(time.TimeOnly)
	waits := fmt.Sprintf("Messages %s  Recipients %s  Queues %d", short(l.elements[elementQueued]), short(l.rcpts),
		len(l.queues))
	before := ": "
	for _, s := range []control.State{control.Active, control.Ready, control.Suspended, control.Delayed, control.Held} {
		if n := l.states[s]; n > 0 {
			waits, before = waits+fmt.Sprintf("%s%d %s", before, n, s), " "
		}
	}
	if n := l.elements[elementTrashed]; n > 0 {
		waits += "  Trash " + short(n)
	}
	return []string{
		bold.Render(screen.Fit(who, m.width-len(clock)-1)) + " " + clock,
		screen.Cut(waits, m.width),
		m.throughput(),
		m.banner(),
	}
}

// throughput is the graphs.
func (m *model) throughput() string {
	const narrow = 50 // columns, in which there is no room for graphs
	each := m.width / 3
	part := func(name, unit string, s *series, value int64, known bool) string {
		v := "-"
		if known {
			v = short(value)
		}
		label := name + " " + screen.FitRight(v, 5) + unit + " "
		if m.width < narrow {
			return label
		}
		return label + m.paint(green, graph(s.heights(max(1, each-2-screen.Width(label))))) + "  "
	}
	in, inKnown := m.in.perMinute()
	out, outKnown := m.out.perMinute()
	line := part("In", "/min", &m.in, in, inKnown) +
		part("Out", "/min", &m.out, out, outKnown) +
		strings.TrimRight(part("Queued", "", &m.queued, m.last.elements[elementQueued], m.last.daemon.PID != 0), " ")
	if m.width < narrow {
		return screen.Cut(line, m.width)
	}
	return line
}

// banner is what is the matter, or the title of the page.
func (m *model) banner() string {
	switch {
	case m.lost != nil:
		text := "trying again: " + m.Explain(m.lost)
		if m.last.daemon.PID != 0 {
			text = fmt.Sprintf("this is of %s ago, ", screen.Duration(m.Now().Sub(m.last.at))) + text
		}
		return m.paint(red, screen.Cut("!! "+screen.Firm(text), m.width))
	case m.page != nil:
		return bold.Render(screen.Cut(m.page.title, m.width))
	case m.last.err != nil:
		return m.paint(yellow, screen.Cut("! "+screen.Firm(m.Explain(m.last.err)), m.width))
	case m.list.filter != "":
		text := fmt.Sprintf("%d of %d queues have: %s", len(m.list.shown), len(m.list.all), screen.Firm(m.list.filter))
		return screen.Cut(text, m.width)
	}
	return ""
}

func (m *model) drawTable() []string {
	lines := []string{bold.Render(screen.Cut(m.list.head(m.width), m.width))}
	if len(m.list.shown) == 0 && m.last.daemon.PID != 0 {
		return append(lines, "", "  no host queues")
	}
	end := min(len(m.list.shown), m.list.first+m.rows())
	for i := m.list.first; i < end; i++ {
		lines = append(lines, m.drawRow(m.list.shown[i], i == m.list.at))
	}
	return lines
}

func (m *model) drawRow(q control.QueueRow, selected bool) string {
	before, state, after := row(q, m.width, m.Now())
	whole := before + state + after
	switch {
	case selected:
		return reverse.Render(screen.Fit("> "+whole, m.width))
	case !m.Colour || screen.Width(whole) > m.width-2:
		return "  " + screen.Cut(strings.TrimRight(whole, " "), m.width-2)
	}
	return "  " + before + paintState(q.State, state) + strings.TrimRight(after, " ")
}

// paintState colours a state as the tables of cgq do.
func paintState(s control.State, text string) string {
	switch s {
	case control.Active:
		return green.Render(text)
	case control.Delayed, control.Suspended:
		return yellow.Render(text)
	case control.Held:
		return red.Render(text)
	}
	return text
}

func (m *model) drawPage() (lines []string) {
	p := m.page
	fit := func(line string, width int) string { return screen.Cut(line, max(0, width)) } // the screen may have become narrower
	if !p.rows {
		for _, line := range p.lines[p.first:min(len(p.lines), p.first+m.pageRows())] {
			lines = append(lines, fit(line, m.width))
		}
		return lines
	}
	lines = append(lines, bold.Render("  "+fit(p.lines[0], m.width-2)))
	for i := p.first; i < min(len(p.lines)-1, p.first+m.pageRows()-1); i++ {
		if i == p.at {
			lines = append(lines, reverse.Render(screen.Fit("> "+p.lines[i+1], m.width)))
			continue
		}
		lines = append(lines, "  "+fit(p.lines[i+1], m.width-2))
	}
	return lines
}

// footer is what is asked, said or selected, and the keys.
func (m *model) footer() []string {
	return []string{m.status(), m.paint(bold, screen.Cut(m.keys(), m.width))}
}

func (m *model) status() string {
	switch {
	case m.prompt != nil && m.notice == "":
		return screen.Cut(m.prompt.label+tail(m.prompt.typed, m.width-screen.Width(m.prompt.label)-1)+"_", m.width)
	case m.running != "":
		return screen.Cut(fmt.Sprintf("… %s  cgq %s", screen.Duration(m.Now().Sub(m.since)), screen.Firm(m.running)), m.width)
	case m.notice != "" && m.failed:
		return m.paint(red, screen.Cut("! "+m.notice, m.width))
	case m.notice != "":
		return screen.Cut(m.notice, m.width)
	}
	q, ok := m.list.selected()
	if !ok || m.page != nil {
		return ""
	}
	text := title(key(q))
	if why := reason(q); why != "" {
		text += ": " + screen.Firm(why)
	}
	return screen.Cut(text, m.width)
}

// keys is the line of keys; of a question whose counts stand above, the question.
func (m *model) keys() string {
	switch {
	case m.prompt != nil && m.notice != "":
		return m.prompt.label + tail(m.prompt.typed, m.width-screen.Width(m.prompt.label)-1) + "_"
	case m.prompt != nil:
		return "Enter takes it  Esc leaves it"
	case m.page != nil:
		hint := "↑↓ PgUp PgDn  Space anew  Esc back"
		if m.page.hint != "" {
			hint = m.page.hint + "  " + hint
		}
		return hint
	}
	return "Enter explain m msgs r release h hold u holds R reject s/a/e/n sort / filter ? q"
}

// tail is the end of what was typed, as much as fits.
func tail(s string, width int) string {
	s = screen.Firm(s)
	for screen.Width(s) > max(1, width) {
		runes := []rune(s)
		s = string(runes[1:])
	}
	return s
}
