package serverlog

import "log/slog"

// A session is what stands behind the tag of a record: SMTPI-060353([197.26.11.151]).
type session struct {
	number  uint64 // 0: none
	subject string
}

// String is -060353([197.26.11.151]).
func (s session) String() string { return string(s.append(nil)) }

func (s session) append(b []byte) []byte {
	if s.number != 0 {
		b = append(b, '-')
		for rest := s.number; rest < 100_000; rest *= 10 { // six digits
			b = append(b, '0')
		}
		b = appendUint(b, s.number)
	}
	if s.subject != "" {
		b = append(b, '(')
		b = appendSubject(b, s.subject)
		b = append(b, ')')
	}
	return b
}

const sessionKey = "\x00session"

// Session returns a logger whose records carry, behind the tag of log, a session
// number of six digits, unless it is 0, and a subject in parentheses, unless it is
// empty: SMTPI-060353([197.26.11.151]), SMTP(example.com), QUEUE([4711]). It takes
// the place of a session that log has already.
func Session(log *slog.Logger, number uint64, subject string) *slog.Logger {
	return log.With(slog.Any(sessionKey, session{number, subject}))
}
