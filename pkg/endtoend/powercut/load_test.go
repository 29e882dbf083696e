package powercut

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"cgq/pkg/endtoend/recorder"
)

// laterDomain is where nobody takes mail while the disk is recorded.
const laterDomain = "later.test"

// A load is senders who submit messages, each with a token, over connections that
// they keep, until they are stopped. They survive the daemon.
type load struct {
	ledger *ledger
	now    func() recorder.Moment // or nil
	kinds  []kind

	address atomic.Pointer[string]
	begun   atomic.Int64
	over    atomic.Bool
	senders sync.WaitGroup
}

// A kind of message, and how often of a hundred it comes.
type kind struct {
	often int
	to    []string
	least int // bytes
	most  int
}

// mixed is mail of all kinds: relayed, delivered, both, refused, big, waiting.
var mixed = []kind{
	{45, []string{"x@remote.test"}, 300, 6000},
	{10, []string{"x@remote.test", "y@remote.test", "z@other.test", ann}, 300, 6000},
	{20, []string{bob}, 300, 6000},
	{8, []string{"nobody@remote.test", "x@remote.test"}, 300, 3000},
	{10, []string{"x@" + laterDomain}, 300, 6000},
	{4, []string{"x@remote.test", bob}, 33 << 10, 120 << 10}, // over inline_limit
	{3, []string{"x@" + laterDomain}, 33 << 10, 80 << 10},
}

// moment is now, or the zero Moment without a recording.
func (l *load) moment() recorder.Moment {
	if l.now == nil {
		return recorder.Moment{}
	}
	return l.now()
}

// start starts so many senders.
func (l *load) start(senders int) {
	for i := range senders {
		l.senders.Go(func() { l.work(rand.New(rand.NewPCG(uint64(i), 1))) })
	}
}

// stop waits until the messages that are on their way are done.
func (l *load) stop() {
	l.over.Store(true)
	l.senders.Wait()
}

// work is one sender.
func (l *load) work(rng *rand.Rand) {
	for !l.over.Load() {
		c, err := dial(*l.address.Load())
		if err != nil { // the daemon is away
			time.Sleep(pause)
			continue
		}
		for err == nil && !l.over.Load() {
			err = l.submit(c, l.choose(rng), rng)
		}
		c.Close()
	}
}

// dial opens a session.
func dial(address string) (*gosmtp.Client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := gosmtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	if err := c.Hello("client.test"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (l *load) choose(rng *rand.Rand) kind {
	n := rng.IntN(100)
	for _, k := range l.kinds {
		if n -= k.often; n < 0 {
			return k
		}
	}
	return l.kinds[0]
}

// submit sends one message and notes what became of it. An error means that the
// session is of no more use.
func (l *load) submit(c *gosmtp.Client, k kind, rng *rand.Rand) error {
	s := &sent{Token: fmt.Sprint("T", l.begun.Add(1)), To: k.to, Begun: l.moment()}
	l.ledger.note(s)
	id, err := transact(c, s, k.least+rng.IntN(k.most-k.least+1))
	reply := 250
	if err != nil {
		reply = 0
		if said, ok := errors.AsType[*gosmtp.SMTPError](err); ok {
			reply = said.Code
			err = c.Reset()
		}
	}
	told := l.moment()
	l.ledger.change(func() { s.ID, s.Reply, s.Told = id, reply, told })
	return err
}

var inReply = regexp.MustCompile(`(\d+) message accepted`)

// transact is the transaction of a message with a text of about so many bytes.
func transact(c *gosmtp.Client, s *sent, size int) (id string, err error) {
	if err := c.Mail(carol, nil); err != nil {
		return "", err
	}
	for _, to := range s.To {
		if err := c.Rcpt(to, nil); err != nil {
			return "", err
		}
	}
	w, err := c.Data()
	if err != nil {
		return "", err
	}
	line := "text of " + s.Token + "\r\n"
	text := "Subject: " + s.Token + "\r\n" + tokenField + s.Token + "\r\n\r\n" + strings.Repeat(line, size/len(line)+1)
	if _, err := w.Write([]byte(text)); err != nil {
		return "", err
	}
	response, err := w.CloseWithResponse()
	if err != nil {
		return "", err
	}
	m := inReply.FindStringSubmatch(response.StatusText)
	if m == nil {
		return "", fmt.Errorf("a reply without an id: %q", response.StatusText)
	}
	return m[1], nil
}

// An administrator acts again and again, each time on messages of his own, which wait
// in a host queue of their own.
type administrator struct {
	load *load
	site *site
	sink *sink
	over atomic.Bool
	done sync.WaitGroup
}

// start lets him begin.
func (a *administrator) start() {
	a.done.Go(func() {
		for n := 1; !a.over.Load(); n++ {
			if err := a.act(n); err != nil { // the daemon is away
				time.Sleep(pause)
			}
		}
	})
}

func (a *administrator) stop() {
	a.over.Store(true)
	a.done.Wait()
}

// act submits some messages, waits until all are delayed, and acts on them.
func (a *administrator) act(n int) error {
	deed := &act{Kind: []string{actReject, actQuiet, actFree}[n%3], Queue: fmt.Sprintf("act%d.test", n)}
	a.sink.refuse(deed.Queue, []int{451, 421}[n/3%2]) // the messages wait, or the queue
	ids, err := a.prepare(deed)
	if err != nil {
		return err
	}
	args := []string{"queue", "reject", "SMTP", deed.Queue, "--text", "because", "--yes"}
	switch {
	case deed.Kind == actFree:
		args = []string{"queue", "release", "SMTP", deed.Queue, "--yes"}
	case n/6%2 == 1:
		args = append(append([]string{"message", "reject"}, ids...), "--text", "because", "--yes")
	}
	if deed.Kind == actQuiet {
		args = append(args, "--no-dsn")
	}
	deed.Begun = a.load.moment()
	a.load.ledger.change(func() { a.load.ledger.Acts = append(a.load.ledger.Acts, deed) })
	if deed.Kind == actFree {
		a.sink.refuse(deed.Queue, 0)
	}
	if _, _, err := a.site.cgq(args...); err != nil { // also when something was left out
		return err
	}
	told := a.load.moment()
	a.load.ledger.change(func() { deed.Done, deed.Told = true, told })
	return nil
}

// prepare submits the messages of an act, and returns their ids when all wait.
func (a *administrator) prepare(deed *act) (ids []string, err error) {
	c, err := dial(*a.load.address.Load())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	l := a.load.ledger
	for range 4 {
		k := kind{to: []string{"x@" + deed.Queue, "y@" + deed.Queue}, least: 300, most: 3000}
		if err := a.load.submit(c, k, rng); err != nil {
			return nil, err
		}
	}
	l.change(func() {
		for _, s := range l.Sent {
			if s.To[0] == "x@"+deed.Queue && s.accepted() {
				deed.Tokens, ids = append(deed.Tokens, s.Token), append(ids, s.ID)
			}
		}
	})
	for began := time.Now(); ; time.Sleep(pause) {
		rows, err := a.site.queue("--queue", deed.Queue)
		switch {
		case err != nil:
			return nil, err
		case len(ids) == 4 && len(rows) == 4 && !slices.ContainsFunc(rows, func(r row) bool { return !r.waits() }):
			return ids, nil
		case a.over.Load() || len(ids) < 4 || time.Since(began) > patience:
			return nil, errors.New("they do not all wait")
		}
	}
}
