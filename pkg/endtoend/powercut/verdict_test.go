package powercut

import (
	"testing"

	"cgq/pkg/endtoend/recorder"
)

func TestJudge(t *testing.T) {
	m := func(ops, flushes int) recorder.Moment { return recorder.Moment{Ops: ops, Flushes: flushes} }
	came := func(ops int) arrival { return arrival{Token: "T1", To: "x@remote.test", At: m(ops, 2)} }
	over := func(ops int) arrival {
		return arrival{Token: "T1", To: "x@remote.test", At: m(25, 2), Over: m(ops, 3)}
	}
	first := &sent{Token: "T1", ID: "1", To: []string{"x@remote.test"}, Begun: m(10, 1), Reply: 250, Told: m(20, 2)}
	second := &sent{Token: "T2", ID: "2", To: []string{bob}, Begun: m(40, 3), Reply: 250, Told: m(50, 4)}
	waiting := &sent{Token: "T3", To: []string{"x@q.test", "y@q.test"}, Reply: 250}
	one := func(arrivals ...arrival) *ledger { return &ledger{Sent: []*sent{first}, Arrivals: arrivals} }
	two := func(arrivals ...arrival) *ledger { return &ledger{Sent: []*sent{first, second}, Arrivals: arrivals} }
	acted := func(kind string) *ledger {
		return &ledger{Sent: []*sent{waiting}, Acts: []*act{
			{Kind: kind, Queue: "q.test", Tokens: []string{"T3"}, Begun: m(10, 1), Done: true, Told: m(20, 2)}}}
	}
	at := func(token, to string) arrival { return arrival{Token: token, To: to} }
	place1, x3, y3 := place{"T1", "x@remote.test"}, place{"T3", "x@q.test"}, place{"T3", "y@q.test"}
	stored := found{boxes: map[place]int{{"T2", bob}: 1}}
	list := make([]string, 1)
	for _, tt := range []struct {
		name   string
		ledger *ledger
		cut    cutAt
		after  after
		want   verdict // the lengths of its lists count
	}{
		{"lost", one(), cutAt{at: m(30, 2)}, after{}, verdict{owed: 1, lost: list}},
		{"not acknowledged yet", one(), cutAt{at: m(15, 1)}, after{}, verdict{}},
		{"acknowledged too early", one(), cutAt{at: m(15, 1), early: 1}, after{},
			verdict{owed: 1, lost: list}},
		{"the flush counts, not the reply", one(), cutAt{at: m(18, 2)}, after{},
			verdict{owed: 1, lost: list}},
		{"arrived before", one(came(25)), cutAt{at: m(30, 2)}, after{}, verdict{owed: 1}},
		{"arrived only when the power was gone", one(came(35)), cutAt{at: m(30, 2)},
			after{}, verdict{owed: 1, lost: list}},
		{"arrived after", one(), cutAt{at: m(30, 2)},
			after{arrivals: []arrival{came(0)}}, verdict{owed: 1}},
		{"in the Maildir", one(), cutAt{at: m(30, 2)},
			after{found: found{boxes: map[place]int{place1: 1}}}, verdict{owed: 1}},
		{"reported", one(), cutAt{at: m(30, 2)},
			after{found: found{reports: map[place]int{place1: 1}}}, verdict{owed: 1}},
		{"in the queue", one(), cutAt{at: m(30, 2)}, after{left: map[string]bool{"1": true}}, verdict{owed: 1}},
		{"reported twice", one(), cutAt{at: m(30, 2)},
			after{found: found{reports: map[place]int{place1: 2}}}, verdict{owed: 1, twice: list}},
		{"again, in the window", two(over(45)),
			cutAt{at: m(60, 5)}, after{arrivals: []arrival{came(0)}, found: stored},
			verdict{owed: 2, again: 1}},
		{"again, and nobody knows what was recorded", two(came(25)),
			cutAt{at: m(60, 5)}, after{arrivals: []arrival{came(0)}, found: stored},
			verdict{owed: 2, again: 1}},
		{"again, and the message begun later was cut off", two(over(30)),
			cutAt{at: m(46, 3)}, after{arrivals: []arrival{came(0)}}, verdict{owed: 1, again: 1}},
		{"again, and it was durable", two(over(30)),
			cutAt{at: m(60, 5)}, after{arrivals: []arrival{came(0)}, found: stored},
			verdict{owed: 2, again: 1, twice: list}},
		{"refused, and yet", &ledger{Sent: []*sent{{Token: "T1", To: []string{"x@remote.test"}, Reply: 451}}},
			cutAt{at: m(30, 2)},
			after{arrivals: []arrival{came(0)}}, verdict{revived: list}},
		{"rejected and in the trash", acted(actQuiet), cutAt{at: m(30, 2)}, after{found: found{trash: 2}}, verdict{owed: 2}},
		{"rejected and gone", acted(actQuiet), cutAt{at: m(30, 2)}, after{}, verdict{owed: 2, broken: list}},
		{"rejected and sent", acted(actQuiet), cutAt{at: m(30, 2)},
			after{arrivals: []arrival{at("T3", "x@q.test"), at("T3", "y@q.test")}}, verdict{owed: 2, broken: list}},
		{"under way and not done", acted(actQuiet), cutAt{at: m(15, 1)},
			after{arrivals: []arrival{at("T3", "x@q.test"), at("T3", "y@q.test")}}, verdict{owed: 2}},
		{"under way and half done", acted(actQuiet), cutAt{at: m(15, 1)},
			after{arrivals: []arrival{at("T3", "x@q.test")}}, verdict{owed: 2, broken: list}},
		{"rejected and reported", acted(actReject), cutAt{at: m(30, 2)},
			after{found: found{reports: map[place]int{x3: 1, y3: 1}}}, verdict{owed: 2}},
		{"rejected and half reported", acted(actReject), cutAt{at: m(30, 2)},
			after{found: found{reports: map[place]int{x3: 1}}}, verdict{owed: 2, broken: list}},
		{"no reports wanted", acted(actQuiet), cutAt{at: m(30, 2)},
			after{found: found{trash: 2, reports: map[place]int{x3: 1}}}, verdict{owed: 2, broken: list}},
		{"released and waiting", acted(actFree), cutAt{at: m(30, 2)},
			after{delayed: map[string]bool{"q.test": true}, left: map[string]bool{"": true}}, verdict{owed: 2, broken: list}},
		{"released too late", acted(actFree), cutAt{at: m(15, 1)},
			after{delayed: map[string]bool{"q.test": true}, left: map[string]bool{"": true}}, verdict{owed: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(tt.ledger, tt.cut, &tt.after); got.String() != tt.want.String() {
				t.Errorf("judge = %v\n%q\nwant   %v", got, got.bad(), &tt.want)
			}
		})
	}
}

func TestJudgeLives(t *testing.T) {
	m := func(ops int) recorder.Moment { return recorder.Moment{Ops: ops} }
	message := func(token string, begun, told int) *sent {
		return &sent{Token: token, To: []string{"x@remote.test"}, Begun: m(begun), Reply: 250, Told: m(told)}
	}
	came := func(token string, at, over int) arrival {
		return arrival{Token: token, To: "x@remote.test", At: m(at), Over: m(over)}
	}
	list := make([]string, 1)
	for _, tt := range []struct {
		name   string
		ledger *ledger
		want   verdict // the lengths of its lists count
	}{
		{"arrived", &ledger{Sent: []*sent{message("T1", 1, 2)}, Arrivals: []arrival{came("T1", 3, 0)}}, verdict{owed: 1}},
		{"lost", &ledger{Sent: []*sent{message("T1", 1, 2)}}, verdict{owed: 1, lost: list}},
		{"again, in the window", &ledger{Sent: []*sent{message("T1", 1, 2)},
			Arrivals: []arrival{came("T1", 3, 0), came("T1", 9, 0)}},
			verdict{owed: 1, again: 1}},
		{"again, and it was durable", &ledger{Sent: []*sent{message("T1", 1, 2), message("T2", 5, 6)},
			Arrivals: []arrival{came("T1", 3, 4), came("T2", 7, 0), came("T1", 9, 0)}},
			verdict{owed: 2, again: 1, twice: list}},
		{"again, and the other one was acknowledged by the next daemon",
			&ledger{Sent: []*sent{message("T1", 1, 2), message("T2", 5, 8)}, Kills: []killing{{m(6), m(7)}},
				Arrivals: []arrival{came("T1", 3, 4), came("T2", 9, 0), came("T1", 9, 0)}},
			verdict{owed: 2, again: 1}},
		{"again, and the daemon was being killed when it was heard of",
			&ledger{Sent: []*sent{message("T1", 1, 2), message("T2", 8, 9)}, Kills: []killing{{m(4), m(6)}, {m(20), m(22)}},
				Arrivals: []arrival{came("T1", 3, 5), came("T2", 10, 0), came("T1", 11, 0)}},
			verdict{owed: 2, again: 1}},
		{"refused, and yet", &ledger{Sent: []*sent{{Token: "T1", To: []string{"x@remote.test"}, Reply: 452}},
			Arrivals: []arrival{came("T1", 3, 0)}}, verdict{revived: list}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judgeLives(tt.ledger, &after{}); got.String() != tt.want.String() {
				t.Errorf("judgeLives = %v\n%q\nwant   %v", got, got.bad(), &tt.want)
			}
		})
	}
}
