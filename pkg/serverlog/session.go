package serverlog

import "log/slog"

// A session is what stands behind the tag of a record: SMTPI-060353([197.26.11.151]).
type session struct {
	number  uint64 // 0: none
	subject string
}

const sessionKey = "\x00session"

// Session returns a logger whose records carry, behind the tag of log, a session
// number of six digits, unless it is 0, and a subject in parentheses, unless it is
// empty: SMTPI-060353([197.26.11.151]), SMTP(example.com), QUEUE([4711]). It takes
// the place of a session that log has already.
func Session(log *slog.Logger, number uint64, subject string) *slog.Logger {
	return log.With(slog.Any(sessionKey, session{number, subject}))
}
