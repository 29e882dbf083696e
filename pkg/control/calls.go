package control

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cgq/pkg/mail"
)

// The requests of version 1. Fields are only ever added.
var (
	QueueList = Stream[Selection, QueueRow]{"queue/list", Monitor,
		"the host queues that match, sorted by module and name; all when the selection is empty"}
	QueueShow = Call[QueueName, QueueHead]{"queue/show", Monitor,
		"the head of the page of one host queue; its rows are message/list of that queue"}
	QueueShape = Stream[ShapeQuery, ShapeRow]{"queue/shape", Monitor,
		"counts the recipients that match by how long their messages are in the queue, the most first; the last row is of all"}
	QueueExplain = Call[QueueName, Explanation]{"queue/explain", Monitor,
		"why a host queue waits, and what happens next"}
	QueueRelease = Call[Act, Outcome]{"queue/release", Release,
		"Release Now: removes the delay of host queues, and of the messages in them; counts host queues"}
	QueueReject = Call[Act, Outcome]{"queue/reject", Reject,
		"Reject Host Queue: fails what is not being processed; counts recipients"}

	QueueBackup = Download[Nothing, Backup]{"queue/backup", View,
		"an archive of the whole Queue at one instant, for cgqd restore"}

	MessageList = Stream[Selection, MessageRow]{"message/list", Monitor,
		"the messages that match, a row for each host queue that a message is in, sorted by id"}
	MessageShow = Call[MessageID, Message]{"message/show", Monitor,
		"one message with its active recipients"}
	MessageContent = Download[MessageID, Content]{"message/content", View,
		"the text of a message: RFC 5322, with LF line ends"}
	MessageExport = Stream[Selection, MessageID]{"message/export", View,
		"the ids of the messages that match, sorted; message/content has their texts"}
	MessageTrace = Stream[MessageID, TraceRow]{"message/trace", Monitor,
		"the life of a message in the order of time: its facts as long as it is in the Queue, and the lines of the Server Log about it"}
	MessageRelease = Call[Act, Outcome]{"message/release", Release,
		"removes the delays of messages, and of the host queues that they are in; counts recipients"}
	MessageReroute = Call[Act, Outcome]{"message/reroute", Settings,
		"has the Router say anew where messages go; counts recipients"}
	MessageReject = Call[Act, Outcome]{"message/reject", Reject,
		"Reject Message: fails what is not being processed; counts recipients"}

	HoldAdd = Call[HoldOrder, Outcome]{"hold/add", Release,
		"keeps what matches from being transferred; counts recipients"}
	HoldList = Stream[Nothing, HoldRow]{"hold/list", Release,
		"the holds that have a name, then the messages that are held because of damage"}
	HoldRemove = Call[HoldAct, Outcome]{"hold/remove", Release,
		"takes a hold away, so that what it holds goes; counts recipients, of a restored backup messages"}

	TrashList = Stream[Nothing, TrashRow]{"trash/list", Reject,
		"what was rejected without a report, an act a row, the latest first"}
	TrashRestore = Call[TrashAct, Outcome]{"trash/restore", Reject,
		"puts what an act has put into the trash back into its host queues; counts recipients"}
	TrashPurge = Call[TrashAct, Outcome]{"trash/purge", Reject,
		"takes what an act has put into the trash out of the queue for good; counts recipients"}

	LogTail = Stream[LogQuery, LogLine]{"log/tail", Monitor,
		"the last lines of the Server Log, and what comes after them"}

	AccountCreate = Call[Account, Account]{"account/create", Settings,
		"creates a local Account"}
	AccountList = Stream[AccountQuery, Account]{"account/list", Settings,
		"the local Accounts, sorted by address"}
	AccountDelete = Call[AccountAct, Outcome]{"account/delete", Settings,
		"deletes a local Account with the mail in it; counts Accounts and stored messages"}

	Route = Call[RouteQuery, Routing]{"route", Monitor,
		"what the Router makes of an address, step by step; nothing is asked of another host"}

	Stat = Stream[StatQuery, Element]{"stat", Monitor,
		"statistics elements, sorted by name; all when no name is given"}
	Listeners = Stream[Nothing, Listener]{"stat/listeners", Monitor,
		"the addresses that the daemon listens on"}
	Ping = Call[Nothing, Daemon]{"ping", Anyone,
		"what the daemon is, and how it is"}
)

// Nothing is the request without fields.
type Nothing struct{}

// A State is what a host queue, a message in a host queue or a recipient is
// doing, in the chapter's words.
type State string

// The states. A host queue is Active, Ready, Delayed or Held; a message in it and
// a recipient are Processing, Ready, Suspended, Delayed or Held.
const (
	Active     State = "active"     // the module works the queue
	Processing State = "processing" // the module works this recipient
	Ready      State = "ready"      // the module may begin at any time
	Suspended  State = "suspended"  // the message or the address itself waits
	Delayed    State = "delayed"    // the whole host queue waits
	Held       State = "held"       // a person wants it to wait
)

// A Selection says which recipients are meant, in which messages and host queues: those
// for which every field that is set holds. A field with several values holds if one of
// them does. Values are as docs/selection.md has them; what is wrong with them the server
// says.
type Selection struct {
	Module       []string  `json:"module,omitempty"`        // names of modules, any case: "SMTP"
	Queue        []string  `json:"queue,omitempty"`         // names of host queues, any case: "example.com"
	State        []State   `json:"state,omitempty"`         // of the row: host queue or recipient
	IDs          []mail.ID `json:"ids,omitempty"`           // messages
	Sender       []string  `json:"sender,omitempty"`        // return paths; "<>": the null one
	Rcpt         []string  `json:"rcpt,omitempty"`          // recipients as submitted
	SenderDomain []string  `json:"sender_domain,omitempty"` //
	RcptDomain   []string  `json:"rcpt_domain,omitempty"`   //
	Auth         []string  `json:"auth,omitempty"`          // Accounts of authenticated senders
	Source       []string  `json:"source,omitempty"`        // Submit Address tags
	Error        []string  `json:"error,omitempty"`         // pieces of the last error
	Subject      []string  `json:"subject,omitempty"`       // pieces of the Subject
	Age          []string  `json:"age,omitempty"`           // such as ">2h"; each must hold
	Size         []string  `json:"size,omitempty"`          // such as "1M.."; each must hold
	Where        string    `json:"where,omitempty"`         // one expression more
	Limit        int       `json:"limit,omitempty"`         // how many rows at most, or, of an act, messages or host queues; 0: all
	All          bool      `json:"all,omitempty"`           // nothing else is set, and everything is meant
}

// Literal is a name as a value of a [Selection], where * and ~ would name many.
func Literal(name string) string {
	if strings.HasPrefix(name, "~") || strings.Contains(name, "*") {
		return "~^" + regexp.QuoteMeta(name) + "$"
	}
	return name
}

// Empty reports whether the selection names nothing and does not say All.
func (s Selection) Empty() bool {
	s.Limit = 0
	return reflect.ValueOf(s).IsZero()
}

// An Act is what an acting request is about and how to do it.
type Act struct {
	Selection
	Text   string `json:"text,omitempty"`    // of a reject: the reason, for the reports
	NoDSN  bool   `json:"no_dsn,omitempty"`  // chapter: Suppress Failed Delivery Reports
	AtOnce bool   `json:"at_once,omitempty"` // of a release: without the pace of release_burst and release_rate
	DryRun bool   `json:"dry_run,omitempty"` // count, and change nothing
}

// Check refuses the empty selection, and All beside something that narrows it:
// neither can be meant. The [Mux] calls it before the handler.
func (a Act) Check() error {
	if len(a.Text) > MaxText {
		return Errorf(KindBadRequest, strconv.Itoa(MaxText)+" bytes at most", "a text of %d bytes", len(a.Text))
	}
	return a.Selection.check()
}

// MaxText is how many bytes the text of a reject and the reason of a hold have at most.
const MaxText = 512

func (s Selection) check() error {
	narrow := s
	narrow.All = false
	switch {
	case s.Empty():
		return Errorf(KindEmptySelection, "name what is meant, or say all", "the selection is empty")
	case s.All && !narrow.Empty():
		return Errorf(KindBadRequest, "leave out one of the two", "all, and a selection that narrows it")
	}
	return nil
}

// MaxSkips is how many skipped rows an [Outcome] lists; it counts them all.
const MaxSkips = 100

// An Outcome counts what an acting request did, or would do in a dry run. The
// declaration of the request says what is counted.
type Outcome struct {
	Matched  int    `json:"matched"`         // what the selection names
	Changed  int    `json:"changed"`         // of them done
	Already  int    `json:"already"`         // of them so before
	Skipped  int    `json:"skipped"`         // of them left alone: Matched - Changed - Already
	Messages int    `json:"messages"`        // the messages that Matched is in
	Skips    []Skip `json:"skips,omitempty"` // the first [MaxSkips] of those left alone
	Act      uint64 `json:"act,omitempty"`   // the number of the act: what went into the trash is restored by it
	Trash    bool   `json:"trash,omitempty"` // Changed is in the trash now
	Moves    []Move `json:"moves,omitempty"` // of a reroute, the most first: at most [MaxSkips]
}

// A Move is how many recipients a reroute takes from one host queue to another.
type Move struct {
	FromModule string `json:"from_module"`
	FromQueue  string `json:"from_queue"`
	ToModule   string `json:"to_module"`
	ToQueue    string `json:"to_queue"`
	Recipients int    `json:"recipients"`
}

// Skip counts one that was left alone, and lists it while there is room.
func (o *Outcome) Skip(s Skip) {
	o.Skipped++
	if len(o.Skips) < MaxSkips {
		o.Skips = append(o.Skips, s)
	}
}

// A Skip is one that an acting request left alone.
type Skip struct {
	ID        mail.ID `json:"id,omitzero"`
	Recipient string  `json:"recipient,omitempty"`
	Module    string  `json:"module,omitempty"`
	Queue     string  `json:"queue,omitempty"`
	Reason    string  `json:"reason"` // "being processed"
}

// A QueueName names one host queue, in any case.
type QueueName struct {
	Module string `json:"module"`
	Queue  string `json:"queue"`
}

// Check refuses half a name.
func (n QueueName) Check() error {
	if n.Module == "" || n.Queue == "" {
		return Errorf(KindBadRequest, "give both, as in SMTP example.com", "a host queue has a module and a name")
	}
	return nil
}

// A QueueRow is one host queue in a list.
type QueueRow struct {
	Module      string    `json:"module"`
	Queue       string    `json:"queue"`
	State       State     `json:"state"`
	Messages    int       `json:"messages"`
	Recipients  int       `json:"recipients"`            // active ones
	Bytes       int64     `json:"bytes"`                 // of all its messages
	Oldest      time.Time `json:"oldest,omitzero"`       // when its oldest message was submitted
	DelayedTill time.Time `json:"delayed_till,omitzero"` // of the queue as a whole
	NextAttempt time.Time `json:"next_attempt,omitzero"` // the next that is due by itself
	Attempts    int       `json:"attempts"`              // failed ones of the queue in a row
	LastError   string    `json:"last_error"`            // queue-wide; hostile
	Hold        string    `json:"hold"`                  // the reason of the hold

	// Of the oldest message that failed for itself, not with the queue: a host that
	// greylists delays messages, never the queue.
	MessageAttempts int    `json:"message_attempts,omitempty"`
	MessageError    string `json:"message_error,omitempty"` // hostile
}

// Seen is the row as people want it: a queue in which every message waits for itself is
// suspended, the chapter's word for that, and without an error of its own it has theirs.
// In JSON its state stays ready, which is what the chapter says of a queue.
func (q QueueRow) Seen() QueueRow {
	if q.State == Ready && !q.NextAttempt.IsZero() {
		q.State = Suspended
	}
	if q.LastError == "" {
		q.LastError, q.Attempts = q.MessageError, max(q.Attempts, q.MessageAttempts)
	}
	return q
}

// A QueueHead is the head of the page of a host queue (chapter: the table header
// contains the information about the entire queue).
type QueueHead struct {
	Module      string    `json:"module"`
	Queue       string    `json:"queue"`
	Status      State     `json:"status"`
	DelayedTill time.Time `json:"delayed_till,omitzero"`
	LastError   string    `json:"last_error"`            // queue-wide; hostile
	NextAttempt time.Time `json:"next_attempt,omitzero"` // the next that is due by itself
}

// A MessageRow is one message in one host queue.
type MessageRow struct {
	ID          mail.ID   `json:"id"`
	Module      string    `json:"module"`
	Queue       string    `json:"queue"`
	State       State     `json:"state"`
	Submitted   time.Time `json:"submitted"`
	ReturnPath  string    `json:"return_path"`           // "<>": the null return path
	Sender      string    `json:"sender"`                // Account of the authenticated sender, or empty
	Source      string    `json:"source"`                // Submit Address tag
	Bytes       int64     `json:"bytes"`                 // of the text
	Recipients  int       `json:"recipients"`            // active ones in this queue
	Attempts    int       `json:"attempts"`              // the most that one of them has had
	DelayedTill time.Time `json:"delayed_till,omitzero"` // of the message in this queue
	LastError   string    `json:"last_error"`            // hostile
	Subject     string    `json:"subject"`               // decoded (RFC 2047); hostile
}

// A MessageID names one message.
type MessageID struct {
	ID mail.ID `json:"id"`
}

// Check refuses the number that no message has.
func (m MessageID) Check() error {
	if m.ID == 0 {
		return Errorf(KindBadRequest, "ids are the numbers in the list of messages", "no message id")
	}
	return nil
}

// A Message is the page of one message (chapter: Message Monitor).
type Message struct {
	ID         mail.ID        `json:"id"`
	ReturnPath string         `json:"return_path"` // "<>": the null return path
	MessageID  string         `json:"message_id"`  // the header field; hostile
	EnvelopeID string         `json:"envelope_id"` // RFC 3461 ENVID, decoded; hostile
	Subject    string         `json:"subject"`     // decoded (RFC 2047); hostile
	Submitted  time.Time      `json:"submitted"`
	Sender     string         `json:"sender"` // Account of the authenticated sender, or empty
	Source     string         `json:"source"` // Submit Address tag
	Bytes      int64          `json:"bytes"`  // of the text
	Recipients []RecipientRow `json:"recipients"`
	Expires    time.Time      `json:"expires,omitzero"` // from then on a failed attempt is the last, of the recipient with the least time
}

// A RecipientRow is one active recipient of a message.
type RecipientRow struct {
	Recipient string  `json:"recipient"`
	Module    string  `json:"module"`
	Queue     string  `json:"queue"`
	Status    State   `json:"status"`
	RetryIn   Seconds `json:"retry_in,omitzero"` // till the module resumes; absent: nothing to wait for
	Attempts  int     `json:"attempts"`
	LastError string  `json:"last_error"` // hostile
}

// Seconds is a length of time that travels as a whole number of seconds.
type Seconds time.Duration

// Duration is the length as time has it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// MarshalJSON writes the seconds, rounded away from none, so that what remains is not
// nothing, and less than nothing is not either.
func (s Seconds) MarshalJSON() ([]byte, error) {
	n := (time.Duration(s).Abs() + time.Second - 1) / time.Second
	if s < 0 {
		n = -n
	}
	return strconv.AppendInt(nil, int64(n), 10), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 32)
	*s = Seconds(time.Duration(n) * time.Second)
	return err
}

// MaxLogLines is how many lines of the past a [LogQuery] can ask for.
const MaxLogLines = 100_000

// A LogQuery says which lines of the Server Log are wanted.
type LogQuery struct {
	Tags    []string  `json:"tags,omitempty"`    // components, any case: "DEQUEUER"; empty: all
	Level   *int      `json:"level,omitempty"`   // this and below, 0 to 5; absent: all
	Message mail.ID   `json:"message,omitempty"` // lines about this message
	Lines   int       `json:"lines"`             // how many of the past, 0 to MaxLogLines; -1: all
	Since   time.Time `json:"since,omitzero"`    // of the past only those from here on
	Follow  bool      `json:"follow,omitempty"`  // then go on with what is written, till the caller leaves
}

// Check holds the query to its ranges.
func (q LogQuery) Check() error {
	if q.Level != nil && (*q.Level < 0 || *q.Level > 5) {
		return Errorf(KindBadRequest, "0 Crashes Only to 5 All Info", "no log level %d", *q.Level)
	}
	if q.Lines < -1 || q.Lines > MaxLogLines {
		return Errorf(KindBadRequest, "0 to "+strconv.Itoa(MaxLogLines)+", or -1: all", "%d lines of the log", q.Lines)
	}
	return nil
}

// A LogLine is one record of the Server Log.
type LogLine struct {
	Time  time.Time `json:"time"`        // to the millisecond
	Level int       `json:"level"`       // 0 to 5
	Tag   string    `json:"tag"`         // the component, without number and subject
	ID    mail.ID   `json:"id,omitzero"` // the message that it is about
	Line  string    `json:"line"`        // as it stands in the log, without its line end
}

// An Account is a local Account.
type Account struct {
	Address string `json:"address"` // local@domain
}

// An AccountQuery says which Accounts are wanted.
type AccountQuery struct {
	Domain []string `json:"domain,omitempty"` // empty: of all local Domains
}

// An AccountAct names an Account to act on.
type AccountAct struct {
	Address string `json:"address"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// A StatQuery says which statistics elements are wanted.
type StatQuery struct {
	Names []string `json:"names,omitempty"` // exact; empty: all
}

// An Element is a statistics element with its value at the time of asking.
type Element struct {
	Name  string `json:"name"`
	Value int64  `json:"value"`
	Kind  string `json:"kind"` // "level", which goes up and down, or "total", which rises
	Doc   string `json:"doc"`  // what it counts
}

// A Listener is one address that the daemon listens on.
type Listener struct {
	Role    string `json:"role"`    // "mx"
	Address string `json:"address"` // host:port
}

// A Daemon says what runs.
type Daemon struct {
	Version string  `json:"version"`
	PID     int     `json:"pid"`
	Base    string  `json:"base"`   // the base directory, absolute
	Uptime  Seconds `json:"uptime"` // since it was ready
	State   string  `json:"state"`  // "running", "stopping"
	Domain  string  `json:"domain"` // the main domain
}
