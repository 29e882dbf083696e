package powercut

import (
	"io"
	"log"
	"net"
	"regexp"
	"strings"
	"sync"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/endtoend/recorder"
)

// tokenField is the field with the token that tells a message from all others.
const tokenField = "X-Token: "

// An arrival is a message that the sink has taken, for one recipient. It is noted
// before it is acknowledged: what the other side knows, we know.
type arrival struct {
	Token string
	To    string
	At    recorder.Moment
	// Over is when the same session began with another message: by then the daemon has
	// read the acknowledgement and recorded it, durable or not. Zero: it never did.
	Over recorder.Moment
}

// A sink is the relay that takes all mail that leaves. It refuses whom it is told to.
type sink struct {
	address string
	now     func() recorder.Moment
	server  *gosmtp.Server
	served  chan struct{} // closed when the server has ended

	mu       sync.Mutex
	arrivals []*arrival
	sessions int            // that are open
	later    map[string]int // domains that have to wait: the reply code, 421 or 451
}

// startSink starts one that listens on address, or on any with port 0.
func startSink(address string, now func() recorder.Moment) (*sink, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	k := &sink{address: l.Addr().String(), now: now, served: make(chan struct{}), later: map[string]int{}}
	k.server = gosmtp.NewServer(gosmtp.BackendFunc(k.open))
	k.server.Domain = "sink.test"
	k.server.MaxMessageBytes = 16 << 20
	k.server.ErrorLog = log.New(io.Discard, "", 0) // connections that break are the daemon that was killed
	go func() {
		_ = k.server.Serve(l) // ends with stop
		close(k.served)
	}()
	return k, nil
}

func (k *sink) open(*gosmtp.Conn) (gosmtp.Session, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sessions++
	return &taking{sink: k}, nil
}

// stop ends all sessions.
func (k *sink) stop() {
	_ = k.server.Close() // of a listener; nothing depends on it
	<-k.served
}

// refuse lets the mail for a domain wait, with this code; 0 is no longer.
func (k *sink) refuse(domain string, code int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.later[domain] = code
}

// has returns what has arrived so far.
func (k *sink) has() (all []arrival) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.arrivals {
		all = append(all, *r)
	}
	return all
}

// quiet says whether nobody is connected.
func (k *sink) quiet() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sessions == 0
}

// moment is now, or the zero Moment where nobody wants to know.
func (k *sink) moment() recorder.Moment {
	if k.now == nil {
		return recorder.Moment{}
	}
	return k.now()
}

// A taking is a session with the sink.
type taking struct {
	sink *sink
	to   []string
	last []*arrival // of the message before
}

// Reset implements [gosmtp.Session].
func (s *taking) Reset() { s.to = nil }

// Logout implements [gosmtp.Session].
func (s *taking) Logout() error {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.sessions--
	return nil
}

// Mail implements [gosmtp.Session].
func (s *taking) Mail(string, *gosmtp.MailOptions) error {
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, r := range s.last {
		r.Over = s.sink.moment()
	}
	s.last = nil
	return nil
}

// Rcpt implements [gosmtp.Session].
func (s *taking) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	local, domain, _ := strings.Cut(to, "@")
	s.sink.mu.Lock()
	code := s.sink.later[domain]
	s.sink.mu.Unlock()
	switch {
	case code != 0:
		return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{4, 3, 2}, Message: "later"}
	case local == "nobody":
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements [gosmtp.Session].
func (s *taking) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	token := tokenIn(text)
	k := s.sink
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.moment()
	for _, to := range s.to {
		r := &arrival{Token: token, To: to, At: at}
		k.arrivals, s.last = append(k.arrivals, r), append(s.last, r)
	}
	return nil
}

var inText = regexp.MustCompile(`(?m)^` + tokenField + `(\S+)`)

// tokenIn finds the first token in a text, which may be a report with the token of
// what it reports.
func tokenIn(text []byte) string {
	if m := inText.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}
