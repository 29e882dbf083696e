package top

import (
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// maxLine is how many bytes a line may have that is asked for: control's limit of texts.
const maxLine = 512

// A prompt asks for a line.
type prompt struct {
	label string
	typed string
	live  func(string)         // is told each change; may be nil
	enter func(string) tea.Cmd // the line is there
	leave func()               // it is not wanted any more; may be nil
}

// add adds what was typed or pasted. Of several lines it makes one.
func (p *prompt) add(s string) {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if utf8.ValidString(s) && len(p.typed)+len(s) <= maxLine {
		p.typed += s
	}
}

// pressed takes a key, and says whether the prompt has ended.
func (p *prompt) pressed(k tea.KeyPressMsg) (ended bool, cmd tea.Cmd) {
	switch k.String() {
	case "enter":
		return true, p.enter(p.typed)
	case "esc", "ctrl+c":
		if p.leave != nil {
			p.leave()
		}
		return true, nil
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(p.typed)
		p.typed = p.typed[:len(p.typed)-n]
	case "ctrl+u":
		p.typed = ""
	default:
		p.add(k.Text)
	}
	if p.live != nil {
		p.live(p.typed)
	}
	return false, nil
}
