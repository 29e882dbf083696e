package extfilter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cgq/pkg/mail"
	"cgq/pkg/program"
)

// The answers of a helper (communigate: External Filters, the Helper protocol):
//
//	seq OK
//	seq ADDHEADER "text" [OK]       also with MIRRORTO and ADDROUTE, in any order
//	seq MIRRORTO address OK
//	seq ADDROUTE address OK
//	seq ERROR "report"
//	seq DISCARD
//	seq REJECTED ["report"]         it cannot decide now
//	seq FAILURE                     it did not handle the request: as OK
//	seq INTF version
//	* anything                      information
//
// Strings are in double quotes; \" and \\ stand for themselves, \e and \n for the end of a
// line, \t for a tab.

// maxAnswer is how long the line of an answer may be.
const maxAnswer = 4096

var errAnswer = errors.New("no answer of the protocol")

func badAnswer(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errAnswer, fmt.Sprintf(format, args...))
}

// splitSeq takes the number off the front of a line.
func splitSeq(line string) (seq uint64, rest string, err error) {
	first, rest, _ := strings.Cut(line, " ")
	if seq, err = strconv.ParseUint(first, 10, 64); err != nil {
		return 0, "", badAnswer("it does not begin with a number: %q", clip(line))
	}
	return seq, strings.Trim(rest, " "), nil
}

// parseAnswer reads what stands behind the number.
func parseAnswer(rest string) (a Answer, err error) {
	p := words{rest: rest}
	for n := 0; ; n++ {
		switch word := strings.ToUpper(p.word()); word {
		case "OK":
			return a, p.end()
		case "":
			if n == 0 {
				return a, badAnswer("it is empty")
			}
			return a, nil // ADDHEADER "text" without OK: the older form
		case "ADDHEADER":
			add, notes, err := headerFields(p.text())
			if err = errors.Join(err, p.err); err != nil {
				return a, err
			}
			a.Add, a.Notes = append(a.Add, add...), append(a.Notes, notes...)
		case "MIRRORTO", "ADDROUTE":
			to, err := mail.ParsePath(strings.TrimSpace(p.text()))
			if err != nil || to.IsZero() || p.err != nil {
				return a, badAnswer("%s without an address: %q", word, clip(rest))
			}
			if word == "MIRRORTO" {
				a.MirrorTo = append(a.MirrorTo, to)
			} else {
				a.Recipients = append(a.Recipients, to)
			}
		case "ERROR":
			text := p.report("rejected by a filter of this server")
			status, text := ownStatus(mail.Status{5, 7, 1}, text)
			r := refusal(status, 0, text)
			r.Notes = a.Notes
			return r, p.err
		case "REJECTED":
			text := p.report("the filter cannot decide now")
			r := later(text)
			r.Notes = a.Notes
			return r, p.err
		case "DISCARD":
			return Answer{Verdict: Discard, Notes: a.Notes}, p.end()
		case "FAILURE":
			a.Notes = append(a.Notes, "FAILURE: it has not handled the message, which passes")
			return a, nil
		default:
			return a, badAnswer("%q in %q", clip(word), clip(rest))
		}
	}
}

// words takes an answer apart.
type words struct {
	rest string
	err  error
}

// word is the next one, or empty at the end.
func (w *words) word() string {
	w.rest = strings.TrimLeft(w.rest, " ")
	if w.rest == "" || w.rest[0] == '"' {
		if w.rest != "" {
			w.err = badAnswer("a string where a word is expected: %q", clip(w.rest))
			return w.rest
		}
		return ""
	}
	word, rest, _ := strings.Cut(w.rest, " ")
	w.rest = rest
	return word
}

// text is a string in quotes, or the next word.
func (w *words) text() string {
	w.rest = strings.TrimLeft(w.rest, " ")
	if !strings.HasPrefix(w.rest, `"`) {
		if w.rest == "" {
			w.err = badAnswer("something is missing at its end")
		}
		return w.word()
	}
	var b strings.Builder
	for i := 1; i < len(w.rest); i++ {
		switch c := w.rest[i]; {
		case c == '"':
			w.rest = w.rest[i+1:]
			return b.String()
		case c == '\\' && i+1 < len(w.rest):
			i++
			switch c := w.rest[i]; c {
			case 'e', 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
			default:
				b.WriteByte(c)
			}
		default:
			b.WriteByte(c)
		}
	}
	w.err = badAnswer("a string without its end: %q", clip(w.rest))
	return ""
}

// report is the text behind ERROR or REJECTED: in quotes, or all that there is, on one line.
func (w *words) report(standard string) string {
	text := strings.TrimSpace(w.rest)
	if strings.HasPrefix(text, `"`) {
		text = w.text()
		if err := w.end(); err != nil {
			w.err = err
		}
	}
	if program.OneLine(text) == "" {
		return standard
	}
	return text
}

func (w *words) end() error {
	if w.err == nil && strings.TrimSpace(w.rest) != "" {
		w.err = badAnswer("more than there should be: %q", clip(w.rest))
	}
	return w.err
}
