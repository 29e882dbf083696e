package mail

import "fmt"

// A Source is a Submit Address tag: the component that submitted a message.
type Source uint8

// The Submit Address tags, in the order of the chapter.
const (
	SMTP Source = iota + 1
	RPOP
	RULE
	ALLF
	PIPE
	POP
	IMAP
	HTTP
	XIMSS
	PBX
	SRULE
	DSN
	MDN
	ICAL
	LIST
	LSRV
	LSTM
	LSTO
	GROUP
	EVENT
	LWIT
)

var sourceTags = [...]string{
	SMTP: "SMTP", RPOP: "RPOP", RULE: "RULE", ALLF: "ALLF", PIPE: "PIPE", POP: "POP", IMAP: "IMAP",
	HTTP: "HTTP", XIMSS: "XIMSS", PBX: "PBX", SRULE: "SRULE", DSN: "DSN", MDN: "MDN", ICAL: "ICAL",
	LIST: "LIST", LSRV: "LSRV", LSTM: "LSTM", LSTO: "LSTO", GROUP: "GROUP", EVENT: "EVENT", LWIT: "LWIT",
}

// String is the tag, such as "SMTP".
func (s Source) String() string {
	if int(s) < len(sourceTags) && s != 0 {
		return sourceTags[s]
	}
	return fmt.Sprintf("Source(%d)", uint8(s))
}

// ParseSource returns the source with a tag.
func ParseSource(tag string) (Source, bool) {
	for s := SMTP; int(s) < len(sourceTags); s++ {
		if sourceTags[s] == tag {
			return s, true
		}
	}
	return 0, false
}

// External reports whether the source takes messages from other systems, which
// must be allowed to have them relayed. All others are the server itself, or its
// authenticated users.
func (s Source) External() bool { return s == SMTP || s == RPOP }
