package powercut

import (
	"fmt"
	"math"
	"slices"

	"cgq/pkg/endtoend/recorder"
)

// A cutAt is what a judge has to know of a power cut.
type cutAt struct {
	at recorder.Moment
	// early: judge as if each reply had been given so many flushes earlier than it was.
	early int
}

// An after is what there is when the power is back and the queue is empty.
type after struct {
	found
	arrivals []arrival
	delayed  map[string]bool // host queues in which mail waited for a time, just after the start
	left     map[string]bool // ids of messages that would not leave the queue
	strays   int             // names that had to be cleared away before cgqd started
}

// A verdict is the sum of a cut.
type verdict struct {
	owed    int      // recipients that the replies before the cut speak of
	lost    []string // of them, those that are nowhere
	broken  []string // acts that were printed and are not done, or are done by half
	twice   []string // repeated without an excuse
	again   int      // repeated because the power failed before the result was durable
	alarms  int      // files in Queue/damaged
	strays  int      // names that a person had to clear away
	revived []string // refused, and yet they came
}

// bad says what must not be, or nothing.
func (v *verdict) bad() (all []string) {
	for what, list := range map[string][]string{
		"lost": v.lost, "act": v.broken, "twice": v.twice, "refused, and yet arrived": v.revived,
	} {
		for _, s := range list {
			all = append(all, what+": "+s)
		}
	}
	if v.alarms > 0 {
		all = append(all, "a power cut is no damage")
	}
	slices.Sort(all)
	return all
}

// add sums verdicts.
func (v *verdict) add(o *verdict) {
	v.owed += o.owed
	v.again += o.again
	v.alarms += o.alarms
	v.strays += o.strays
	v.lost = append(v.lost, o.lost...)
	v.broken = append(v.broken, o.broken...)
	v.twice = append(v.twice, o.twice...)
	v.revived = append(v.revived, o.revived...)
}

func (v *verdict) String() string {
	return fmt.Sprintf("%d recipients owed, %d lost, %d acts broken, %d repeated without an excuse, %d refused arrived; "+
		"%d repeated in the window, %d files put aside as damaged, %d names cleared away",
		v.owed, len(v.lost), len(v.broken), len(v.twice), len(v.revived), v.again, v.alarms, v.strays)
}

// judge compares what was said before the cut with what there is after it.
func judge(l *ledger, cut cutAt, a *after) *verdict {
	j := &judging{ledger: l, cut: cut, after: a,
		before: map[place][]arrival{}, then: map[place]int{}, acts: map[string]*act{}}
	for _, r := range l.Arrivals {
		if r.At.Ops <= cut.at.Ops {
			j.before[place{r.Token, r.To}] = append(j.before[place{r.Token, r.To}], r)
		}
	}
	for _, r := range a.arrivals {
		j.then[place{r.Token, r.To}]++
	}
	for _, d := range l.Acts {
		for _, token := range d.Tokens {
			j.acts[token] = d
		}
	}
	for _, s := range l.Sent {
		j.message(s)
	}
	for _, d := range l.Acts {
		j.act(d)
	}
	j.rests()
	j.v.alarms, j.v.strays = len(a.alarms), a.strays
	return &j.v
}

type judging struct {
	ledger *ledger
	cut    cutAt
	after  *after
	before map[place][]arrival // at the sink, before the cut
	then   map[place]int       // and after it
	acts   map[string]*act     // by token
	trash  int                 // recipients that have to be in the trash
	v      verdict
}

// durable says whether what was true at a moment had to survive the cut: all that had
// been flushed by then is there.
func (j *judging) durable(told recorder.Moment) bool { return told.Flushes <= j.cut.at.Flushes }

func (j *judging) message(s *sent) {
	told := s.Told
	told.Flushes -= j.cut.early
	owed := s.accepted() && j.durable(told) && s.Begun.Ops <= j.cut.at.Ops
	for _, to := range s.To {
		p := place{s.Token, to}
		if s.Reply >= 400 && j.durable(s.Told) && j.then[p]+j.after.boxes[p] > 0 {
			j.v.revived = append(j.v.revived, fmt.Sprint(p))
		}
		j.repeated(p)
		if !owed {
			continue
		}
		j.v.owed++
		d := j.acts[s.Token]
		rejected := d != nil && d.Kind != actFree && d.Begun.Ops <= j.cut.at.Ops
		if len(j.before[p])+j.then[p]+j.after.boxes[p]+j.after.reports[p] == 0 && !rejected && !j.after.left[s.ID] {
			j.v.lost = append(j.v.lost,
				fmt.Sprintf("%v, message %s, begun at %d, acknowledged at %d", p, s.ID, s.Begun, s.Told))
		}
	}
}

// repeated looks for what has come more than once. A transfer may be repeated when its
// result was not durable; local mail and reports never are.
func (j *judging) repeated(p place) {
	if j.then[p] > 1 || j.after.boxes[p] > 1 || j.after.reports[p] > 1 {
		j.v.twice = append(j.v.twice, fmt.Sprintf("%v after the cut: %d at the sink, %d in the Maildir, %d reports",
			p, j.then[p], j.after.boxes[p], j.after.reports[p]))
	}
	if j.then[p] == 0 {
		return
	}
	for _, r := range j.before[p] {
		j.v.again++
		if j.settled(r) {
			j.v.twice = append(j.v.twice, fmt.Sprintf("%v arrived at %d, which was durable, and again", p, r.At))
		}
	}
}

// settled says whether the result of a transfer was durable for certain: after it had
// been recorded a message was begun, and that one was acknowledged in time, and before
// the daemon was killed.
func (j *judging) settled(r arrival) bool { return j.ledger.settled(r, j.durable) }

func (l *ledger) settled(r arrival, inTime func(told recorder.Moment) bool) bool {
	if (r.Over == recorder.Moment{}) {
		return false
	}
	killed := endOfTime
	for _, k := range slices.Backward(l.Kills) {
		if k.Over.Ops >= r.Over.Ops {
			killed = k.Begun
		}
	}
	return slices.ContainsFunc(l.Sent, func(s *sent) bool {
		return s.accepted() && s.Begun.Ops > r.Over.Ops && s.Told.Ops <= killed.Ops && inTime(s.Told)
	})
}

// act looks whether an act is whole: done, when it was printed, and not by half, when
// it was under way.
func (j *judging) act(d *act) {
	if !d.Done || d.Begun.Ops > j.cut.at.Ops {
		return
	}
	wrong := func(format string, args ...any) {
		j.v.broken = append(j.v.broken, fmt.Sprintf("%s %s, begun at %d, printed at %d: ", d.Kind, d.Queue, d.Begun, d.Told)+
			fmt.Sprintf(format, args...))
	}
	printed := j.durable(d.Told)
	if d.Kind == actFree {
		if printed && j.after.delayed[d.Queue] {
			wrong("its mail waits")
		}
		return
	}
	went, told, all := 0, 0, 0
	for _, token := range d.Tokens {
		for _, local := range []string{"x@", "y@"} {
			p := place{token, local + d.Queue}
			all++
			if j.then[p] > 0 {
				went++
			}
			if j.after.reports[p] > 0 {
				told++
			}
		}
	}
	switch {
	case printed && went > 0:
		wrong("%d of %d recipients got their mail", went, all)
	case went > 0 && went < all:
		wrong("%d of %d recipients got their mail: by half", went, all)
	case d.Kind == actQuiet && told > 0:
		wrong("%d reports", told)
	case d.Kind == actReject && told != all-went:
		wrong("%d reports of %d", told, all-went)
	}
	if printed && d.Kind == actQuiet {
		j.trash += all - went
	}
}

// rests looks whether what was rejected without a report is in the trash. Acts that nobody
// was told of may have put more there.
func (j *judging) rests() {
	if j.after.trash < j.trash {
		j.v.broken = append(j.v.broken, fmt.Sprintf("the trash has %d recipients, and was told of %d", j.after.trash, j.trash))
	}
}

// endOfTime is after everything.
var endOfTime = recorder.Moment{Ops: math.MaxInt, Flushes: math.MaxInt}

// judgeLives compares what was said while a daemon lived several times with what there
// is when its queue is empty at last. The moments are those of any clock that counts.
func judgeLives(l *ledger, a *after) *verdict {
	v := judge(l, cutAt{at: endOfTime}, a)
	came := map[place][]arrival{}
	for _, r := range l.Arrivals {
		p := place{r.Token, r.To}
		for _, earlier := range came[p] {
			v.again++
			if l.settled(earlier, func(told recorder.Moment) bool { return told.Ops < r.At.Ops }) {
				v.twice = append(v.twice,
					fmt.Sprintf("%v arrived at %d, which was durable, and again at %d", p, earlier.At, r.At))
			}
		}
		came[p] = append(came[p], r)
	}
	for _, s := range l.Sent {
		for _, to := range s.To {
			p := place{s.Token, to}
			if s.Reply >= 400 && len(came[p]) > 0 { // the Maildirs are judged
				v.revived = append(v.revived, fmt.Sprint(p))
			}
		}
	}
	return v
}
