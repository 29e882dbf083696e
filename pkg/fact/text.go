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
//	tried rcpt at attempts until status code mta text
//	suspended module queue at attempts until status code mta text
//	Settled rcpt at action status code mta text
//	Rejected rcpt at report by text
//	freed rcpt at by
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
	case Tried:
		b = times(number(append(b, "tried"...), int64(f.Rcpt)), f.At, f.Attempts, f.Until)
		return result(b, f.Result)
	case Suspended:
		b = times(words(append(b, "suspended"...), f.Module, f.Queue), f.At, f.Attempts, f.Until)
		return result(b, f.Result)
	case Settled:
		b = stamp(number(append(b, "Settled"...), int64(f.Rcpt)), f.At)
		return result(words(b, f.Result.Action.String()), f.Result)
	case Rejected:
		b = stamp(number(append(b, "Rejected"...), int64(f.Rcpt)), f.At)
		return words(b, yesNo(f.Report), f.By, limit(f.Text))
	case Freed:
		return words(stamp(number(append(b, "freed"...), int64(f.Rcpt)), f.At), f.By)
	case Reported:
		b = append(number(append(b, "Reported"...), int64(f.DSN)), ' ')
		for i, n := range f.Rcpts {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		return b
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
	return words(number(b, int64(r.Code)), r.MTA, limit(r.Text))
}

// limit cuts a text at a rune.
func limit(s string) string {
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

func (s *scanner) rcpt() int { return int(s.int(0, maxRcpt)) }

// maxRcpt keeps a damaged number from making a message of it.
const maxRcpt = 1 << 20

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
		r := Routed{Rcpt: s.rcpt(), Module: s.word(), Queue: s.word()}
		var err error
		if r.Address, err = mail.ParsePath(s.word()); err != nil {
			s.fail(err.Error())
		}
		f = r
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
		f = t
	case "Rejected":
		f = Rejected{Rcpt: s.rcpt(), At: s.time(), Report: s.yesNo(), By: s.word(), Text: s.word()}
	case "freed":
		f = Freed{Rcpt: s.rcpt(), At: s.time(), By: s.word()}
	case "Reported":
		f = Reported{DSN: mail.ID(s.int(0, 1<<62)), Rcpts: s.rcpts()}
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
