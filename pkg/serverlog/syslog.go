package serverlog

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"unicode/utf8"
)

// facilities are those of RFC 5424 §6.2.1, in the order of their numbers.
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// Facility returns the number of a facility of syslog, such as "mail".
func Facility(name string) (int, bool) {
	i := slices.Index(facilities, name)
	return i, i >= 0
}

// severity is that of RFC 5424 §6.2.1 for a level. Major stands between failures and
// problems, and is what is normal and significant.
func severity(l slog.Level) int {
	return [...]int{2 /* critical */, 3 /* error */, 5 /* notice */, 4 /* warning */, 6 /* informational */, 7 /* debug */}[LevelDigit(l)]
}

// Syslog is the form of RFC 5424, with the tag as MSGID and the whole line, without time
// and level, as MSG.
func Syslog(program string, facility int) Form {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-" // RFC 5424 §6.2.4: NILVALUE
	}
	pid := strconv.Itoa(os.Getpid())
	host, program = printable(host, 255), printable(program, 48)
	return func(b []byte, l Line) []byte {
		b = appendPriority(b, facility, l.Level)
		b = append(b, "1 "...)
		b = l.Time.AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
		for _, field := range []string{host, program, pid, printable(l.Component(), 32), "-"} {
			b = append(b, ' ')
			b = append(b, field...)
		}
		b = append(b, ' ')
		return appendLine(b, l)
	}
}

// LocalSyslog is the form that the C library writes to /dev/log: that of RFC 3164
// without the host.
func LocalSyslog(program string, facility int) Form {
	head := " " + printable(program, 48) + "[" + strconv.Itoa(os.Getpid()) + "]: "
	return func(b []byte, l Line) []byte {
		b = appendPriority(b, facility, l.Level)
		b = l.Time.Local().AppendFormat(b, "Jan _2 15:04:05")
		return appendLine(append(b, head...), l)
	}
}

// Journal is the native form of the journal of systemd
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): fields, of which CGQ_TAG and CGQ_ID are ours.
func Journal(program string, facility int) Form {
	return func(b []byte, l Line) []byte {
		b = appendField(b, "PRIORITY", strconv.Itoa(severity(l.Level)))
		b = appendField(b, "SYSLOG_FACILITY", strconv.Itoa(facility))
		b = appendField(b, "SYSLOG_IDENTIFIER", program)
		b = appendField(b, "CGQ_TAG", l.Component())
		b = appendField(b, "CGQ_LEVEL", strconv.Itoa(LevelDigit(l.Level)))
		if l.ID != 0 {
			b = appendField(b, "CGQ_ID", strconv.FormatUint(l.ID, 10))
		}
		return appendField(b, "MESSAGE", string(appendLine(nil, l)))
	}
}

// appendField appends NAME=value, or, of a value with line ends, its length and its bytes.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	if bytes.IndexByte([]byte(value), '\n') < 0 {
		b = append(append(b, '='), value...)
		return append(b, '\n')
	}
	b = append(b, '\n')
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	return append(append(b, value...), '\n')
}

func appendPriority(b []byte, facility int, l slog.Level) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(8*facility+severity(l)), 10)
	return append(b, '>')
}

// appendLine appends a line without its time and level.
func appendLine(b []byte, l Line) []byte {
	l.Text = cut(l.Text, outletLine)
	s := l.String()
	return append(b, s[len(clockLayout)+len(" L "):]...)
}

// cut is at most n bytes of a text, whole runes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// printable is a field of the header of RFC 5424: 1 to n bytes of printing ASCII.
func printable(s string, n int) string {
	b := []byte(cut(s, n))
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '?'
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}
