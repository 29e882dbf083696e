package extfilter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// maxTries is how often a request is sent again because its helper has ended: it may have
// ended of it.
const maxTries = 3

// maxNonsense is how many lines in a row may be no answer to anything until a helper is
// stopped.
const maxNonsense = 100

// quitTime is how long a helper has to end by itself.
const quitTime = 5 * time.Second

// A helper is a filter of some processes that share its messages.
type helper struct {
	args  []string
	base  string
	pause time.Duration // until one that has ended is started again; 0: never
	start time.Duration // how long it may take to say its version
	log   *slog.Logger

	number atomic.Uint64 // of the last request
	free   chan *worker  // a worker as often as it may have another message
	stop   context.CancelFunc
	work   sync.WaitGroup
}

func newHelper(set Filter, base string, log *slog.Logger) *helper {
	args, _ := program.Split(set.Program) // Validate has seen it
	h := &helper{args: args, base: base, pause: set.AutoRestart.D(), start: set.Timeout.D(), log: log,
		free: make(chan *worker, set.Processes*set.InFlight)}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	workers := make([]*worker, set.Processes)
	for i := range workers {
		workers[i] = &worker{h: h, in: make(chan *request), gave: make(chan givenUp, set.InFlight), room: set.InFlight,
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
	tries  int
	reply  chan reply // capacity 1
}

// givenUp is a request for whose answer nobody waits any more.
type givenUp struct {
	*request
	late bool // it should have been there
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
	// A program that has not answered in time is stopped.
	why := context.Cause(ctx)
	w.gave <- givenUp{q, errors.Is(why, errTimeout)}
	return Answer{}, why
}

// A worker has one process, and starts it again when it has ended. What it has belongs to
// the goroutine of run.
type worker struct {
	h       *helper
	in      chan *request // to be asked
	gave    chan givenUp  // nobody waits for their answers any more
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
		for n, q := range w.pending {
			if q.tries++; q.tries >= maxTries {
				w.answer(n, Answer{}, errOften)
			}
		}
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
	first    uint64          // the number of INTF
	ready    bool            // it was answered
	nonsense int             // lines in a row
	given    map[uint64]bool // requests given up whose answers may come
}

// serve has one process from its start to its end, and says why it ended.
func (w *worker) serve(ctx context.Context) error {
	h := w.h
	p, err := program.Start(context.WithoutCancel(ctx), program.Command{Path: h.args[0], Args: h.args[1:], Dir: h.base,
		Stderr: func(line string) { h.log.Log(context.Background(), serverlog.Problem, "stderr: "+line) }})
	if err != nil {
		return fmt.Errorf("%w: %w", errStart, err)
	}
	h.log.Log(ctx, serverlog.Low, "the helper is started: "+h.args[0])
	t := &talk{worker: w, p: p, out: make(chan string, 2*w.room+2), first: h.number.Add(1), given: map[uint64]bool{}}
	lines, read := make(chan string), make(chan struct{})
	var pumps sync.WaitGroup
	pumps.Go(func() { defer close(lines); t.read(p.Stdout, lines, read) })
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
	begin := time.NewTimer(h.start)
	defer begin.Stop()
	for {
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
			if err := t.send(q); err != nil {
				return err
			}
		case q := <-w.gave:
			if w.pending[q.number] == nil {
				continue
			}
			delete(w.pending, q.number)
			if t.given[q.number] = true; q.late {
				return fmt.Errorf("%w, and is stopped; the request was %q", errTimeout, q.line)
			}
		case line, ok := <-lines:
			if !ok {
				return t.ended()
			}
			if err := t.heard(line); err != nil {
				return err
			}
		}
	}
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

// send asks, as soon as the versions are known.
func (t *talk) send(q *request) error {
	if !t.ready {
		return nil
	}
	return t.say(q.line)
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

// read hands on the lines of the process. It waits for who takes them: a helper that says
// more than anybody wants to hear waits, too.
func (t *talk) read(r io.Reader, lines chan<- string, stop <-chan struct{}) {
	b := bufio.NewReaderSize(r, maxAnswer+1)
	for long := false; ; {
		piece, err := b.ReadSlice('\n')
		if len(piece) > 0 && (!long || err == nil) {
			line := strings.TrimRight(string(piece), "\r\n")
			if long {
				line = "" // the end of one that was too long
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				line = "! a line of more than " + fmt.Sprint(maxAnswer) + " bytes, which begins: " + clip(line)
			}
			select {
			case lines <- line:
			case <-stop:
				return
			}
		}
		if long = errors.Is(err, bufio.ErrBufferFull); err != nil && !long {
			return
		}
	}
}

// heard deals with a line of the process. An error ends it.
func (t *talk) heard(line string) error {
	log := t.h.log
	log.Log(context.Background(), serverlog.All, fmt.Sprintf("inp(%03d): %s", len(line), line))
	if strings.HasPrefix(line, "*") || line == "" {
		return nil
	}
	number, rest, err := splitSeq(line)
	switch {
	case err != nil:
	case number == t.first && !t.ready:
		return t.agree(rest)
	case t.given[number]:
		delete(t.given, number)
		return nil
	case t.pending[number] == nil:
		err = badAnswer("nobody has asked, or it was answered: %q", clip(line))
	default:
		t.nonsense = 0
		a, err := parseAnswer(rest)
		t.answer(number, a, err)
		return nil
	}
	log.Log(context.Background(), serverlog.Problem, "ignored: "+err.Error())
	if t.nonsense++; t.nonsense >= maxNonsense {
		return fmt.Errorf("it has said %d lines in a row that are no answers", t.nonsense)
	}
	return nil
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
	for _, q := range t.pending {
		if err := t.send(q); err != nil {
			return err
		}
	}
	return nil
}

// quit ends a process in good order; it has not long.
func (t *talk) quit(lines <-chan string) {
	if t.say(fmt.Sprintf("%d QUIT", t.h.number.Add(1))) != nil {
		return
	}
	end := time.After(quitTime)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			if number, rest, err := splitSeq(line); err == nil && t.pending[number] == nil && strings.HasPrefix(rest, "OK") {
				return
			}
		case <-end:
			return
		}
	}
}
