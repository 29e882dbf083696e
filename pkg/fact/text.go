package fact

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/mail"
)

// The text form of a fact is one line of words with one space between. In a word,
// a byte of 0x20 and below, 0x7f and % are written as %XX, the empty word as -, and
// a - alone as %2D: whatever a peer has said stays inside its word. Times are
// milliseconds since 1970, 0 for none. A kind that may be passed over by one who
// does not know it begins with a small letter, the others with a capital.
//
//	routed rcpt module queue address
//	begun at
//	Filtered at skip [place cut text]…
//	tried rcpt at attempts until status code mta text
//	suspended module queue at attempts until status code mta text
//	Settled rcpt at action status code mta text [reports]
//	Rejected rcpt at report by text [act]
//	Undone rcpt at by act
//	Purged rcpt at by act
//	freed rcpt at by [until act]
//	Rerouted rcpt at by module queue address act
//	Held rcpt hold
//	Reported dsn rcpt,rcpt,…
//	Gone
//
// and, as the value of a standing thing,
//
//	delay module queue at attempts until status code mta text

// MaxText is how many bytes of what the other side said a fact keeps (SPOOL J5).
const MaxText = 512

// ErrText is matched by every error of Parse.
var ErrText = errors.New("not a fact")

// Append adds the text form of f, without a line end, to b.
func Append(b []byte, f Fact) []byte {
	switch f := f.(type) {
	case Routed:
		b = number(append(b, "routed"...), int64(f.Rcpt))
		return words(b, f.Module, f.Queue, f.Address.String())
	case Begun:
		return stamp(append(b, "begun"...), f.At)
	case Filtered:
		b = words(stamp(append(b, "Filtered"...), f.At), yesNo(f.Skip))
		for _, e := range f.Edits {
			b = words(number(number(b, e.At), e.Cut), e.Text)
		}
		return b
	case Tried:
		b = times(number(append(b, "tried"...), int64(f.Rcpt)), f.At, f.Attempts, f.Until)
		return result(b, f.Result)
	case Suspended:
		b = times(words(append(b, "suspended"...), f.Module, f.Queue), f.At, f.Attempts, f.Until)
		return result(b, f.Result)
	case Settled:
		b = stamp(number(append(b, "Settled"...), int64(f.Rcpt)), f.At)
		if b = result(words(b, f.Result.Action.String()), f.Result); f.Result.Reports {
			b = append(b, " reports"...)
		}
		return b
	case Rejected:
		b = stamp(number(append(b, "Rejected"...), int64(f.Rcpt)), f.At)
		b = words(b, yesNo(f.Report), f.By, Limit(f.Text))
		if f.Act == 0 {
			return b
		}
		return number(b, int64(f.Act))
	case Undone:
		return number(deed(append(b, "Undone"...), f.Rcpt, f.At, f.By), int64(f.Act))
	case Purged:
		return number(deed(append(b, "Purged"...), f.Rcpt, f.At, f.By), int64(f.Act))
	case Freed:
		b = deed(append(b, "freed"...), f.Rcpt, f.At, f.By)
		if f.Until.IsZero() && f.Act == 0 {
			return b
		}
		return number(stamp(b, f.Until), int64(f.Act))
	case Rerouted:
		b = words(deed(append(b, "Rerouted"...), f.Rcpt, f.At, f.By), f.Module, f.Queue, f.Address.String())
		return number(b, int64(f.Act))
	case Held:
		return number(number(append(b, "Held"...), int64(f.Rcpt)), int64(f.Hold))
	case Reported:
		return numbers(number(append(b, "Reported"...), int64(f.DSN)), f.Rcpts)
	case Warned:
		b = numbers(number(append(b, "warned"...), int64(f.DSN)), f.Rcpts)
		return number(b, f.Age.Milliseconds())
	case Gone:
		return append(b, "Gone"...)
	case Unknown:
		return append(b, f.Line...)
	}
	panic(fmt.Sprintf("fact: %T", f)) // the set is closed
}

// AppendDelay adds the text form of a standing delay to b.
func AppendDelay(b []byte, d Delay) []byte {
	b = times(words(append(b, "delay"...), d.Module, d.Queue), d.At, d.Attempts, d.Until)
	return result(b, d.Result)
}

func number(b []byte, n int64) []byte { return strconv.AppendInt(append(b, ' '), n, 10) }

func numbers(b []byte, all []int) []byte {
	b = append(b, ' ')
	for i, n := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return b
}

// deed is what a person has done of a recipient, and when.
func deed(b []byte, rcpt int, at time.Time, by string) []byte {
	return words(stamp(number(b, int64(rcpt)), at), by)
}

func stamp(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return number(b, 0)
	}
	return number(b, t.UnixMilli())
}

func times(b []byte, at time.Time, attempts int, until time.Time) []byte {
	return stamp(number(stamp(b, at), int64(attempts)), until)
}

func result(b []byte, r mail.Result) []byte {
	b = append(b, ' ')
	for i, n := range r.Status {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return words(number(b, int64(r.Code)), r.MTA, Limit(r.Text))
}

// Limit is as much of a text as a fact keeps, cut at a rune.
func Limit(s string) string {
	if len(s) > MaxText {
		s = strings.ToValidUTF8(s[:MaxText], "")
	}
	return s
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

const hex = "0123456789ABCDEF"

func words(b []byte, all ...string) []byte {
	for _, w := range all {
		b = append(b, ' ')
		switch w {
		case "":
			b = append(b, '-')
			continue
		case "-":
			b = append(b, "%2D"...)
			continue
		}
		for i := range len(w) {
			if c := w[i]; c <= ' ' || c == 0x7f || c == '%' {
				b = append(b, '%', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return b
}

// A scanner takes words off a line; the first fault sticks.
type scanner struct {
	rest string
	err  error
}

func (s *scanner) fail(why string) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: %s", ErrText, why)
	}
}

func (s *scanner) word() string {
	w, rest, more := strings.Cut(s.rest, " ")
	if s.rest = rest; !more {
		s.rest = ""
	}
	switch {
	case w == "":
		s.fail("a word is missing")
		return ""
	case w == "-":
		return ""
	case !strings.Contains(w, "%"):
		return w
	}
	var b strings.Builder
	for i := 0; i < len(w); i++ {
		if w[i] != '%' {
			b.WriteByte(w[i])
			continue
		}
		if i+2 >= len(w) {
			s.fail("half an escape")
			return ""
		}
		c, err := strconv.ParseUint(w[i+1:i+3], 16, 8)
		if err != nil {
			s.fail("an escape that is none")
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String()
}

func (s *scanner) int(low, high int64) int64 {
	n, err := strconv.ParseInt(s.word(), 10, 64)
	if err != nil || n < low || n > high {
		s.fail("a number is wrong")
		return low
	}
	return n
}

func (s *scanner) address() mail.Address {
	a, err := mail.ParsePath(s.word())
	if err != nil {
		s.fail(err.Error())
	}
	return a
}

func (s *scanner) act() uint64 { return uint64(s.int(0, 1<<53)) }

func (s *scanner) rcpt() int { return int(s.int(0, maxRcpt)) }

// maxRcpt keeps a damaged number from making a message of it.
const maxRcpt = 1 << 20

// maxAge is how old a message can be, in milliseconds.
const maxAge = int64(100 * 365 * 24 * time.Hour / time.Millisecond)

func (s *scanner) time() time.Time {
	ms := s.int(-1<<53, 1<<53)
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (s *scanner) result(action mail.Action) mail.Result {
	r := mail.Result{Action: action}
	parts := strings.Split(s.word(), ".")
	if len(parts) != len(r.Status) {
		s.fail("a status is wrong")
		return r
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			s.fail("a status is wrong")
		}
		r.Status[i] = uint16(n)
	}
	r.Code = int(s.int(0, 999))
	r.MTA, r.Text = s.word(), s.word()
	return r
}

// Parse reads the text form of a fact. A kind that it does not know is an
// [Unknown]; a kind that it knows, written wrongly, is an error.
func Parse(line string) (Fact, error) {
	kind, rest, _ := strings.Cut(line, " ")
	s := &scanner{rest: rest}
	var f Fact
	switch kind {
	case "routed":
		f = Routed{Rcpt: s.rcpt(), Module: s.word(), Queue: s.word(), Address: s.address()}
	case "begun":
		f = Begun{At: s.time()}
	case "Filtered":
		f = s.filtered()
	case "tried":
		t := Tried{Rcpt: s.rcpt(), At: s.time(), Attempts: int(s.int(0, 1<<40)), Until: s.time()}
		t.Result = s.result(mail.Delayed)
		f = t
	case "suspended":
		d := s.delay()
		f = Suspended(d)
	case "Settled":
		t := Settled{Rcpt: s.rcpt(), At: s.time()}
		action, ok := mail.ParseAction(s.word())
		if !ok || action == mail.Delayed {
			s.fail("an action is wrong")
		}
		t.Result = s.result(action)
		if s.rest != "" {
			if t.Result.Reports = true; s.word() != "reports" || action != mail.Relayed {
				s.fail("a word that no result has")
			}
		}
		f = t
	case "Rejected":
		r := Rejected{Rcpt: s.rcpt(), At: s.time(), Report: s.yesNo(), By: s.word(), Text: s.word()}
		if s.rest != "" {
			r.Act = s.act()
		}
		f = r
	case "Undone":
		f = Undone{Rcpt: s.rcpt(), At: s.time(), By: s.word(), Act: s.act()}
	case "Purged":
		f = Purged{Rcpt: s.rcpt(), At: s.time(), By: s.word(), Act: s.act()}
	case "freed":
		r := Freed{Rcpt: s.rcpt(), At: s.time(), By: s.word()}
		if s.rest != "" {
			r.Until, r.Act = s.time(), s.act()
		}
		f = r
	case "Rerouted":
		r := Rerouted{Rcpt: s.rcpt(), At: s.time(), By: s.word(), Module: s.word(), Queue: s.word()}
		r.Address, r.Act = s.address(), s.act()
		f = r
	case "Held":
		f = Held{Rcpt: s.rcpt(), Hold: s.act()}
	case "Reported":
		f = Reported{DSN: mail.ID(s.int(0, 1<<62)), Rcpts: s.rcpts()}
	case "warned":
		f = Warned{DSN: mail.ID(s.int(0, 1<<62)), Rcpts: s.rcpts(), Age: time.Duration(s.int(1, maxAge)) * time.Millisecond}
	case "Gone":
		f = Gone{}
	case "":
		return nil, fmt.Errorf("%w: an empty line", ErrText)
	default:
		return Unknown{line}, nil
	}
	return s.end(f)
}

// ParseDelay reads what AppendDelay wrote.
func ParseDelay(line string) (Delay, error) {
	s := &scanner{rest: line}
	if s.word() != "delay" {
		s.fail("not a delay")
	}
	d := s.delay()
	_, err := s.end(nil)
	return d, err
}

func (s *scanner) end(f Fact) (Fact, error) {
	if s.rest != "" {
		s.fail("more words than it has")
	}
	if s.err != nil {
		return nil, s.err
	}
	return f, nil
}

func (s *scanner) filtered() Filtered {
	f := Filtered{At: s.time(), Skip: s.yesNo()}
	for s.rest != "" && s.err == nil {
		f.Edits = append(f.Edits, Edit{At: s.int(0, 1<<62), Cut: s.int(0, 1<<62), Text: s.word()})
	}
	if !f.Fits(1 << 62) {
		s.fail("edits that overlap")
	}
	return f
}

func (s *scanner) delay() Delay {
	d := Delay{Module: s.word(), Queue: s.word(), At: s.time(), Attempts: int(s.int(0, 1<<40)), Until: s.time()}
	d.Result = s.result(mail.Delayed)
	return d
}

func (s *scanner) yesNo() bool {
	switch s.word() {
	case "yes":
		return true
	case "no":
		return false
	}
	s.fail("neither yes nor no")
	return false
}

func (s *scanner) rcpts() []int {
	var all []int
	for w := range strings.SplitSeq(s.word(), ",") {
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 || n > maxRcpt {
			s.fail("a recipient is wrong")
		}
		all = append(all, n)
	}
	return all
}
