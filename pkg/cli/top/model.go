package top

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"cgq/pkg/cli/screen"
)

// The statistics elements that the header is made of.
const (
	elementQueued  = "numQueuedMessages"
	elementIn      = "smtpInputJobs"
	elementOut     = "smtpOutputJobs"
	elementInNow   = "smtpInputActive"
	elementOutNow  = "smtpOutputActive"
	elementTrashed = "numTrashedMessages"
)

// A model is all that the view knows. The loop of bubbletea owns it; what runs beside it
// uses ctx and Options alone.
type model struct {
	ctx context.Context // of the view: its looks and commands end with it
	Options

	width, height int
	last          look   // the last one that was whole
	lost          error  // why there is none since; nil: there is one
	in, out       series // messages taken, messages sent
	queued        series
	list          list

	page    *page   // above the table, if any
	prompt  *prompt // the line that is asked for, if any
	notice  string  // of the last act, safe
	failed  bool    // it did not do what it should
	running string  // the command line that runs, safe; empty: none
	since   time.Time
}

func newModel(ctx context.Context, o Options) *model {
	return &model{ctx: ctx, Options: o, width: 80, height: 24, in: series{rises: true}, out: series{rises: true}}
}

// Init begins to look.
func (m *model) Init() tea.Cmd { return m.look }

// Update changes the model by a message.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(20, msg.Width), max(8, msg.Height)
		m.list.keep(m.rows())
		if m.page != nil {
			m.page.scroll(0, m.pageRows())
			return m, m.again() // its lines are as wide as the screen was
		}
	case look:
		m.looked(msg)
		if msg.aside {
			return m, nil
		}
		return m, m.next(msg.took)
	case turn:
		return m, m.look
	case answer:
		return m, m.answered(msg)
	case tea.PasteMsg:
		if m.prompt != nil {
			m.prompt.add(msg.Content)
		}
	case tea.KeyPressMsg:
		return m, m.pressed(msg)
	}
	return m, nil
}

// looked takes what the daemon said.
func (m *model) looked(l look) {
	if !l.whole() {
		m.lost = l.err
		return
	}
	if l.daemon.PID != m.last.daemon.PID { // another one counts from nothing
		m.in.samples, m.out.samples = nil, nil
	}
	l.count()
	m.last, m.lost = l, nil
	m.in.add(l.at, l.elements[elementIn])
	m.out.add(l.at, l.elements[elementOut])
	m.queued.add(l.at, l.elements[elementQueued])
	m.list.set(l.queues)
	m.list.keep(m.rows())
}

// rows is how many queues the screen has room for; pageRows how many lines a page.
func (m *model) rows() int     { return max(1, m.height-headLines-footLines-1) }
func (m *model) pageRows() int { return max(1, m.height-headLines-footLines) }

// A command is a command line to run, and what becomes of its answer.
type command struct {
	args []string
	then func(Answer) tea.Cmd
}

// An answer is that of a command.
type answer struct {
	of  command
	got Answer
}

// run runs a command line, unless one runs already.
func (m *model) run(c command) tea.Cmd {
	if m.running != "" {
		m.say("wait: cgq "+m.running+" still runs", true)
		return nil
	}
	m.running, m.since, m.notice = shown(c.args), m.Now(), ""
	ctx, width, run := m.ctx, m.width-2, m.Command
	return func() tea.Msg { return answer{c, run(ctx, width, c.args...)} }
}

func (m *model) answered(a answer) tea.Cmd {
	m.running = ""
	return a.of.then(a.got)
}

// say shows the first line of a text till the next one.
func (m *model) say(text string, failed bool) {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	m.notice, m.failed = screen.Firm(line), failed
}
