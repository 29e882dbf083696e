package top

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"cgq/pkg/control"
)

// maxMessages is how many messages of a queue are shown: the oldest.
const maxMessages = "1000"

// pressed does what a key means where the user is.
func (m *model) pressed(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case m.prompt != nil:
		p := m.prompt
		ended, cmd := p.pressed(k)
		if ended && m.prompt == p { // and has not asked for another line
			m.prompt = nil
		}
		return cmd
	case k.String() == "ctrl+c":
		return tea.Quit
	case m.page != nil:
		return m.pressedInPage(k.String())
	}
	if by, ok := moves(k.String(), m.rows()); ok {
		m.list.scroll(by, m.rows())
		return nil
	}
	switch k.String() {
	case "q":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "?", "f1":
		m.help()
	case " ", "space":
		return m.lookAside
	case "s", "a", "e", "n":
		m.list.order = map[string]order{"s": bySize, "a": byAge, "e": byError, "n": byName}[k.String()]
		m.list.set(m.list.all)
		m.list.keep(m.rows())
	case "/":
		m.askFilter()
	case "esc":
		m.filter("")
		m.notice = ""
	case "u":
		return m.pick(page{title: "Holds", hint: "Enter ends the hold", choose: m.unhold}, "hold", "list",
			"--columns", "name,recipients,since,by,reason")
	default:
		if q, ok := m.list.selected(); ok {
			return m.pressedOn(k.String(), key(q))
		}
	}
	return nil
}

// moves is how far a key moves a selection on a screen of some rows.
func moves(k string, rows int) (by int, ok bool) {
	const far = 1 << 30
	by, ok = map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -rows, "pgdown": rows, "home": -far, "end": far,
		"g": -far, "G": far}[k]
	return by, ok
}

// pressedOn does what a key means for a queue.
func (m *model) pressedOn(k string, q control.QueueName) tea.Cmd {
	switch k {
	case "enter", "x":
		return m.open("Why "+title(q)+" waits", "queue", "explain", "--", q.Module, q.Queue)
	case "m":
		p := page{title: "Messages of " + title(q) + ", the oldest " + maxMessages, hint: "Enter shows its life",
			choose: m.trace}
		return m.pick(p, "message", "list", "--limit", maxMessages, "--module", q.Module, "--queue",
			control.Literal(q.Queue), "--columns", "id,submitted,state,return_path,bytes,recipients,attempts,last_error")
	case "r":
		return m.act("queue", "release", "--", q.Module, q.Queue)
	case "h":
		m.ask(&prompt{label: "Hold " + title(q) + ", because: ",
			enter: func(reason string) tea.Cmd { return m.hold(q, reason) }})
	case "R", "d":
		m.ask(&prompt{label: "Reject " + title(q) + ", telling the senders: ",
			enter: func(text string) tea.Cmd { return m.reject(q, text) }})
	}
	return nil
}

func (m *model) pressedInPage(k string) tea.Cmd {
	p := m.page
	if by, ok := moves(k, m.pageRows()-p.heads()); ok {
		p.scroll(by, m.pageRows())
		return nil
	}
	switch k {
	case "q", "esc":
		m.page = nil
		return nil
	case " ", "space":
		return m.again()
	case "enter", "t":
		if name := p.name(); name != "" {
			return p.choose(name)
		}
	}
	return nil
}

// trace shows the life of a message.
func (m *model) trace(id string) tea.Cmd {
	return m.open("Life of message "+id, "message", "trace", id)
}

func (m *model) askFilter() {
	was := m.list.filter
	m.ask(&prompt{label: "Show only queues with: ", typed: was, live: m.filter,
		enter: func(s string) tea.Cmd { m.filter(s); return nil },
		leave: func() { m.filter(was) }})
}

// ask asks for a line.
func (m *model) ask(p *prompt) { m.prompt, m.notice = p, "" }

func (m *model) filter(s string) {
	m.list.filter = s
	m.list.set(m.list.all)
	m.list.keep(m.rows())
}

// act runs a command that changes something, and shows what it has done.
func (m *model) act(args ...string) tea.Cmd {
	return m.run(command{args, func(a Answer) tea.Cmd {
		m.told(a)
		return tea.Batch(m.lookAside, m.again())
	}})
}

// told shows the answer of an act: a line, or a page when it is longer.
func (m *model) told(a Answer) {
	m.say(a.Text, a.Failed)
	if strings.Contains(strings.TrimSpace(a.Text), "\n") {
		m.page = &page{title: "Done", lines: text(a.Text, m.width)}
	}
}

func (m *model) hold(q control.QueueName, reason string) tea.Cmd {
	if strings.TrimSpace(reason) == "" {
		m.say("not held: there was no reason", true)
		return nil
	}
	return m.act("hold", "add", "--module", q.Module, "--queue", control.Literal(q.Queue), "--yes", "--reason="+reason)
}

func (m *model) unhold(name string) tea.Cmd {
	if name == "-" {
		m.say("that message is damaged: only a reject ends it", true)
		return nil
	}
	return m.confirmed("hold", "remove", "--", name)
}

func (m *model) reject(q control.QueueName, text string) tea.Cmd {
	if strings.TrimSpace(text) == "" {
		m.say("nothing was rejected: there was no text", true)
		return nil
	}
	return m.confirmed("queue", "reject", "--text="+text, "--", q.Module, q.Queue)
}

// confirmed counts what a command would do, asks, and does it.
func (m *model) confirmed(args ...string) tea.Cmd {
	with := func(flag string) []string { return slices.Insert(slices.Clone(args), 2, flag) }
	return m.run(command{with("--dry-run"), func(a Answer) tea.Cmd {
		if a.Failed {
			m.told(a)
			return nil
		}
		line, _, _ := strings.Cut(strings.TrimSpace(a.Text), "\n")
		m.say(line+": cgq "+shown(args), false)
		m.prompt = &prompt{label: `Type "yes" to do that: `, enter: func(s string) tea.Cmd {
			if s != "yes" {
				m.say("not confirmed; nothing was changed", true)
				return nil
			}
			return m.act(with("--yes")...)
		}, leave: func() { m.say("not confirmed; nothing was changed", true) }}
		return nil
	}})
}

// shown is a command line for people.
func shown(args []string) string {
	words := make([]string, 0, len(args))
	for _, w := range args {
		if strings.ContainsAny(w, " \t'\"\\$`*?<>|&;()#~") || w == "" {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
