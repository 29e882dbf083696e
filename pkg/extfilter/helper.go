package extfilter

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cgq/pkg/program"
	"cgq/pkg/serverlog"
)

// The version of the interface is the lower one of both sides'.
const (
	newestInterface = 5
	oldestInterface = 3
)

// maxTries is how often a helper may end while it has a request: it may have ended of it.
// After the first time such a request is sent when the helper has no other, so that those
// that were merely beside it are answered.
const maxTries = 3

// maxNonsense is how many lines in a row may be no answer to anything until a helper is
// stopped.
const maxNonsense = 100

// maxComplaints is how many lines of its stderr a process gets into the log in a minute.
const maxComplaints = 100

// quitTime is how long a helper has to end by itself.
const quitTime = 5 * time.Second

// A helper is a filter of some processes that share its messages.
type helper struct {
	args  []string
	base  string
	pause time.Duration // until one that has ended is started again; 0: never
	limit time.Duration // how long it may take to answer
	log   *slog.Logger

	number atomic.Uint64 // of the last request
	free   chan *worker  // a worker as often as it may have another message
	stop   context.CancelFunc
	work   sync.WaitGroup
}

func newHelper(set Filter, base string, log *slog.Logger) *helper {
	args, _ := program.Split(set.Program) // Validate has seen it
	h := &helper{args: args, base: base, pause: set.AutoRestart.D(), limit: set.Timeout.D(), log: log,
		free: make(chan *worker, set.Processes*set.InFlight)}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	workers := make([]*worker, set.Processes)
	for i := range workers {
		workers[i] = &worker{h: h, in: make(chan *request), gave: make(chan *request, set.InFlight), room: set.InFlight,
			pending: map[uint64]*request{}}
		h.work.Go(func() { workers[i].run(ctx) })
	}
	for range set.InFlight {
		for _, w := range workers {
			h.free <- w
		}
	}
	return h
}

// close implements [client].
func (h *helper) close() {
	h.stop()
	h.work.Wait()
}

// A request is a message that a worker has, or is about to get.
type request struct {
	number uint64
	line   string
	reply  chan reply // capacity 1

	// These are the worker's.
	tries int       // so often a process has ended while it had it
	sent  time.Time // zero: the process does not have it yet
}

type reply struct {
	answer Answer
	err    error
}

// filter implements [client].
func (h *helper) filter(ctx context.Context, r *Request) (Answer, error) {
	var w *worker
	select {
	case w = <-h.free:
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("all its processes are busy: %w", context.Cause(ctx))
	}
	defer func() { h.free <- w }()
	path, back, err := r.Lend()
	if err != nil {
		return Answer{}, err
	}
	defer back()
	q := &request{number: h.number.Add(1), reply: make(chan reply, 1)}
	q.line = fmt.Sprintf("%d FILE %s", q.number, path)
	select {
	case w.in <- q:
	case <-ctx.Done():
		return Answer{}, context.Cause(ctx)
	}
	select {
	case got := <-q.reply:
		return got.answer, got.err
	case <-ctx.Done():
	}
	w.gave <- q
	return Answer{}, context.Cause(ctx)
}

// A worker has one process, and starts it again when it has ended. What it has belongs to
// the goroutine of run.
type worker struct {
	h       *helper
	in      chan *request // to be asked
	gave    chan *request // nobody waits for their answers any more
	room    int           // so many may be under way
	pending map[uint64]*request
}

var (
	errEnded  = errors.New("the helper has ended, and auto_restart is 0s")
	errOften  = fmt.Errorf("the helper ended %d times while it had the message", maxTries)
	errClosed = errors.New("the filter is taken out of the settings, or the server stops")
)

// run starts a process, and another one when it has ended, until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.refuseAll(errClosed)
	for ctx.Err() == nil {
		err := w.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		w.h.log.Log(ctx, serverlog.Failure, "the helper has ended: "+err.Error())
		w.suspect()
		switch {
		case w.h.pause == 0:
			w.refuse(ctx, errEnded, nil)
			return
		case errors.Is(err, errStart): // nobody has to wait for what may never be
			timer := time.NewTimer(w.h.pause)
			w.refuse(ctx, err, timer.C)
			timer.Stop()
		default:
			w.rest(ctx)
		}
	}
}

// suspect counts what the process had when it ended.
func (w *worker) suspect() {
	for n, q := range w.pending {
		if q.sent.IsZero() {
			continue
		}
		if q.sent = (time.Time{}); q.tries+1 == maxTries {
			w.answer(n, Answer{}, errOften)
		}
		q.tries++
	}
}

// rest is the pause between two processes, in which requests may come.
func (w *worker) rest(ctx context.Context) {
	timer := time.NewTimer(w.h.pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case q := <-w.in:
			w.pending[q.number] = q
		case q := <-w.gave:
			delete(w.pending, q.number)
		}
	}
}

// refuse answers all that there are and that come, until a time or the end.
func (w *worker) refuse(ctx context.Context, why error, until <-chan time.Time) {
	w.refuseAll(why)
	for {
		select {
		case <-ctx.Done():
			return
		case <-until:
			return
		case q := <-w.in:
			q.reply <- reply{err: why}
		case <-w.gave:
		}
	}
}

func (w *worker) refuseAll(why error) {
	for n := range w.pending {
		w.answer(n, Answer{}, why)
	}
}

// answer gives an answer to who waits for it.
func (w *worker) answer(number uint64, a Answer, err error) {
	w.pending[number].reply <- reply{a, err}
	delete(w.pending, number)
}

var errStart = errors.New("it cannot be started")

// A talk is that with one process.
type talk struct {
	*worker
	p        *program.Process
	out      chan string
	first    uint64               // the number of INTF
	ready    bool                 // it was answered
	nonsense int                  // lines in a row
	queue    []*request           // of those pending, what the process does not have yet
	has      int                  // so many requests the process has
	alone    bool                 // what it has is suspected of having ended another process
	given    map[uint64]time.Time // what it has and nobody waits for, and since when it has it
	stuck    *time.Timer          // when the first of these should have been answered
}

// serve has one process from its start to its end, and says why it ended.
func (w *worker) serve(ctx context.Context) error {
	h := w.h
	p, err := program.Start(context.WithoutCancel(ctx), program.Command{Path: h.args[0], Args: h.args[1:], Dir: h.base,
		Stderr: h.complain()})
	if err != nil {
		return fmt.Errorf("%w: %w", errStart, err)
	}
	h.log.Log(ctx, serverlog.Low, "the helper is started: "+h.args[0])
	t := &talk{worker: w, p: p, out: make(chan string, 2*w.room+2), first: h.number.Add(1), given: map[uint64]time.Time{},
		stuck: time.NewTimer(h.limit)}
	t.queue = slices.SortedFunc(maps.Values(w.pending), func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.tries, b.tries), cmp.Compare(a.number, b.number))
	})
	lines, read := make(chan line), make(chan struct{})
	var pumps sync.WaitGroup
	pumps.Go(func() { defer close(lines); defer p.Stdout.Close(); t.read(p.Stdout, lines, read) })
	pumps.Go(func() { t.write(p.Stdin) })
	grace := time.Duration(0)
	defer func() {
		close(t.out)
		close(read)
		p.Stop(grace)
		pumps.Wait()
	}()
	if err := t.say(fmt.Sprintf("%d INTF %d", t.first, newestInterface)); err != nil {
		return err
	}
	begin := time.NewTimer(h.limit)
	defer begin.Stop()
	defer t.stuck.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			grace = quitTime
			t.quit(lines)
			return ctx.Err()
		case <-begin.C:
			if !t.ready {
				return errors.New("it has not said which version of the interface it speaks")
			}
		case q := <-w.in:
			w.pending[q.number] = q
			t.queue = append(t.queue, q)
			err = t.send()
		case q := <-w.gave:
			t.giveUp(q)
		case <-t.stuck.C:
			err = t.overdue()
		case l, ok := <-lines:
			if !ok {
				return t.ended()
			}
			err = t.heard(l)
		}
	}
	return err
}

// complain is where a process says on stderr what is wrong. One that never stops saying it
// does not fill the log.
func (h *helper) complain() func(line string) {
	var since time.Time
	n := 0
	return func(line string) {
		if now := time.Now(); now.Sub(since) > time.Minute {
			since, n = now, 0
		}
		switch n++; {
		case n <= maxComplaints:
			h.log.Log(context.Background(), serverlog.Problem, "stderr: "+line)
		case n == maxComplaints+1:
			h.log.Log(context.Background(), serverlog.Problem, "stderr: more than that is left out for a minute")
		}
	}
}

// giveUp is for a request whose answer nobody waits for any more. The process may still
// have it, for as long as any other.
func (t *talk) giveUp(q *request) {
	if t.pending[q.number] == nil {
		return // it was answered at the same time
	}
	delete(t.pending, q.number)
	if !q.sent.IsZero() {
		t.given[q.number] = q.sent
		t.stuck.Reset(0)
	}
}

// overdue is an error when the process has a request for too long: it is to be stopped. A
// request that has waited for its turn first is nothing that the process is to blame for.
func (t *talk) overdue() error {
	first := t.h.limit
	for n, sent := range t.given {
		left := t.h.limit - time.Since(sent)
		if left <= 0 {
			return fmt.Errorf("%w, and is stopped: it has not answered request %d", errTimeout, n)
		}
		first = min(first, left)
	}
	t.stuck.Reset(first)
	return nil
}

// ended is why a process that says nothing any more has ended.
func (t *talk) ended() error {
	select {
	case <-t.p.Done():
	case <-time.After(quitTime):
		return errors.New("it has closed its output")
	}
	if err := t.p.Err(); err != nil {
		return err
	}
	return errors.New("it has ended by itself")
}

// send asks what is to be asked, and may be: as soon as the versions are known, no more at
// a time than the settings say, and what is suspected alone.
func (t *talk) send() error {
	for t.ready && !t.alone && t.has < t.room && len(t.queue) > 0 {
		q := t.queue[0]
		if t.pending[q.number] == q {
			if t.alone = q.tries > 0; t.alone && t.has > 0 {
				t.alone = false
				return nil
			}
			t.has++
			q.sent = time.Now()
			if err := t.say(q.line); err != nil {
				return err
			}
		}
		t.queue = t.queue[1:]
	}
	return nil
}

// say writes a line. There is room for all that may be under way, if the process reads
// what it answers.
func (t *talk) say(line string) error {
	t.h.log.Log(context.Background(), serverlog.All, fmt.Sprintf("out(%03d): %s", len(line)+1, line))
	select {
	case t.out <- line:
		return nil
	default:
		return errors.New("it does not read its requests")
	}
}

// write hands the lines to the process, which may take its time.
func (t *talk) write(w io.WriteCloser) {
	defer w.Close()
	for line := range t.out {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			for range t.out { // its end is noticed elsewhere
			}
			return
		}
	}
}

// A line is one of the process.
type line struct {
	text string
	cut  bool // it was longer than a line may be, and this is its beginning
}

// read hands on the lines of the process. It waits for who takes them: a helper that says
// more than anybody wants to hear waits, too.
func (t *talk) read(r io.Reader, lines chan<- line, stop <-chan struct{}) {
	b := bufio.NewReaderSize(r, maxAnswer+1)
	for inside := false; ; { // of a line that is too long
		piece, err := b.ReadSlice('\n')
		cut := errors.Is(err, bufio.ErrBufferFull)
		if len(piece) > 0 && !inside {
			select {
			case lines <- line{strings.TrimRight(string(piece), "\r\n"), cut}:
			case <-stop:
				return
			}
		}
		if inside = cut; err != nil && !cut {
			return
		}
	}
}

// heard deals with a line of the process. An error ends it.
func (t *talk) heard(l line) error {
	t.h.log.Log(context.Background(), serverlog.All, fmt.Sprintf("inp(%03d): %s", len(l.text), l.text))
	if strings.HasPrefix(l.text, "*") || l.text == "" {
		return nil
	}
	number, rest, err := splitSeq(l.text)
	if err == nil && number == t.first && !t.ready {
		return t.agree(rest)
	}
	if _, ok := t.given[number]; ok && err == nil {
		delete(t.given, number)
		return t.answered()
	}
	if q := t.pending[number]; q != nil && !q.sent.IsZero() && err == nil {
		a, err := parseAnswer(rest)
		if l.cut {
			a, err = Answer{}, badAnswer("it has more than %d bytes", maxAnswer)
		}
		t.answer(number, a, err)
		return t.answered()
	}
	if err == nil {
		err = badAnswer("nobody has asked, or it was answered: %q", clip(l.text))
	}
	t.h.log.Log(context.Background(), serverlog.Problem, "ignored: "+err.Error())
	if t.nonsense++; t.nonsense >= maxNonsense {
		return fmt.Errorf("it has said %d lines in a row that are no answers", t.nonsense)
	}
	return nil
}

// answered is for what the process does not have any more: there is room for another one.
func (t *talk) answered() error {
	t.has--
	t.nonsense, t.alone = 0, false
	return t.send()
}

// agree reads the version that the process speaks; then it gets what waits.
func (t *talk) agree(rest string) error {
	var version int
	if n, err := fmt.Sscanf(rest, "INTF %d", &version); n != 1 || err != nil {
		return badAnswer("to INTF: %q", clip(rest))
	}
	if version = min(version, newestInterface); version < oldestInterface {
		return fmt.Errorf("it speaks version %d of the interface; %d is the oldest", version, oldestInterface)
	}
	t.h.log.Log(context.Background(), serverlog.Low, fmt.Sprintf("the helper speaks version %d of the interface", version))
	t.ready = true
	return t.send()
}

// quit ends a process in good order; it has not long.
func (t *talk) quit(lines <-chan line) {
	if t.say(fmt.Sprintf("%d QUIT", t.h.number.Add(1))) != nil {
		return
	}
	end := time.After(quitTime)
	for {
		select {
		case l, ok := <-lines:
			if !ok {
				return
			}
			if number, rest, err := splitSeq(l.text); err == nil && t.pending[number] == nil && strings.HasPrefix(rest, "OK") {
				return
			}
		case <-end:
			return
		}
	}
}
