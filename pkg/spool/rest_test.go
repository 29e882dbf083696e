package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/fact"
	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// What rests loses nothing, and what would lose something does not rest.
func TestRest(t *testing.T) {
	whole := message{textAt: 300, text: 200, size: 512, facts: 3, folder: 7}
	for _, tt := range []struct {
		name   string
		change func(*message)
		rests  bool
	}{
		{"its file ends with the text", func(*message) {}, true},
		{"facts behind the text", func(m *message) { m.size = 4096 }, true},
		{"the text ends on a sector", func(m *message) { m.text = 212 }, true},
		{"an empty text", func(m *message) { m.text = 0 }, true},
		{"in the Queue directory itself", func(m *message) { m.folder = root }, true},
		{"the longest envelope and text", func(m *message) {
			m.textAt, m.text, m.size = maxEnvelope, math.MaxUint32, sectors(maxEnvelope+math.MaxUint32)
		}, true},
		{"the most facts", func(m *message) { m.facts, m.size = math.MaxInt32, 512*(1+math.MaxUint16) }, true},
		{"a longer text", func(m *message) { m.text, m.size = 1<<32, sectors(300+1<<32) }, false},
		{"more sectors of facts", func(m *message) { m.size = 512 * (2 + math.MaxUint16) }, false},
		{"its file does not end on a sector", func(m *message) { m.size = 700 }, false},
		{"its file is too short", func(m *message) { m.text = 1000 }, false},
		{"no file has it", func(m *message) { m.image = []byte("V") }, false},
		{"a fact is in no file", func(m *message) { m.unfiled = []byte("1") }, false},
		{"a segment waits for it", func(m *message) { m.oldest = 1 }, false},
		{"it is being moved", func(m *message) { m.twice = true }, false},
		{"its file is a draft", func(m *message) { m.draft = true }, false},
		{"its file is doubtful", func(m *message) { m.anew = true }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := whole
			tt.change(&m)
			r, ok := m.rest()
			if ok != tt.rests {
				t.Fatalf("%+v rests: %v, want %v", m, ok, tt.rests)
			}
			if got := r.message(); ok && !same(got, m) {
				t.Errorf("it was %+v, and is %+v", m, got)
			}
		})
	}
}

// same says whether two messages are the same to the byte.
func same(a, b message) bool {
	equal := bytes.Equal(a.image, b.image) && bytes.Equal(a.unfiled, b.unfiled)
	a.image, a.unfiled, b.image, b.unfiled = nil, nil, nil, nil
	return equal && a.textAt == b.textAt && a.facts == b.facts && a.text == b.text && a.size == b.size && a.oldest == b.oldest &&
		a.folder == b.folder && a.second == b.second && a.twice == b.twice && a.draft == b.draft && a.anew == b.anew
}

// Whatever happens to messages, each is busy or rests, and keeps its place in memory as
// long as it is busy.
func TestMessagesAreBusyOrRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all messages
		model, places := map[mail.ID]message{}, map[mail.ID]*message{}
		used := map[mail.ID]bool{} // no id is given twice
		id := func() mail.ID { return mail.ID(rapid.IntRange(1, 40).Draw(t, "id")) }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := id()
				if used[i] {
					return
				}
				used[i] = true
				m := message{textAt: 100, text: int64(i), size: 512, oldest: Number(rapid.IntRange(0, 1).Draw(t, "oldest"))}
				model[i] = m
				all.put(i, &m)
				if m.oldest != 0 {
					places[i] = &m
				}
			},
			"change": func(t *rapid.T) {
				i := id()
				m, has := all.change(i), all.has(i)
				if was, known := model[i]; known != (m != nil) || known != has || known && !same(*m, was) {
					t.Fatalf("changes %+v, want %+v", m, was)
				}
				if m == nil {
					return
				}
				if places[i] != nil && places[i] != m {
					t.Fatal("a busy message has got another place")
				}
				m.facts++
				m.oldest, places[i] = 1, m
				model[i] = *m
			},
			"settle": func(t *rapid.T) {
				i := id()
				m := places[i]
				if m == nil {
					return
				}
				if m.oldest = 0; rapid.Bool().Draw(t, "more") {
					m.oldest = 2
				}
				all.settle(i, m) // of what has gone, too
				if _, known := model[i]; known {
					model[i] = *m
				}
				if m.oldest == 0 {
					delete(places, i)
				}
			},
			"forget": func(*rapid.T) {
				i := id()
				all.forget(i)
				delete(model, i)
			},
			"": func(t *rapid.T) {
				if all.len() != len(model) {
					t.Fatalf("%d messages, want %d", all.len(), len(model))
				}
				for i := range mail.ID(42) {
					m, ok := all.look(i)
					facts, _ := all.facts(i)
					if want, known := model[i]; ok != known || !same(m, want) || facts != want.facts {
						t.Fatalf("message %d is %+v with %d facts, want %+v", i, m, facts, want)
					}
					if all.busy.Ref(i) != nil && all.resting.Ref(i) != nil {
						t.Fatalf("message %d is busy and rests", i)
					}
				}
				n := rapid.IntRange(1, 50).Draw(t, "n")
				var got, want []listed
				for more := true; more; more = len(got)%n == 0 && len(got) > 0 && len(got) < len(model) {
					last := mail.ID(0)
					if len(got) > 0 {
						last = got[len(got)-1].id
					}
					got = all.some(got, last, n)
				}
				for _, i := range slices.Sorted(maps.Keys(model)) {
					want = append(want, listed{id: i, facts: model[i].facts})
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%d at a time lists %v, want %v", n, got, want)
				}
			},
		})
	})
}

func restingSpool(t testing.TB, d *crashdisk.Disk) *Spool {
	t.Helper()
	s, _, err := Open(d, "Queue", Options{Foldering: Hundred}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Index(t.Context(), func([]Found, []error) {}); err != nil {
		t.Fatal(err)
	}
	return s
}

// A message that is disturbed rests again, with what it was told, and where it was moved
// to; so it does after a start.
func TestDisturbedMessagesRestAgain(t *testing.T) {
	d := crashdisk.New(-1)
	s := restingSpool(t, d)
	id := accepted(t, s, fact.Freed{By: "first"})
	check := func(busy bool, facts int32, in folder, size int64) {
		t.Helper()
		m, ok := s.messages.look(id)
		if is := s.messages.busy.Ref(id) != nil; !ok || is != busy || m.facts != facts || m.folder != in || m.size != size {
			t.Errorf("%+v, busy: %v; want busy: %v, %d facts, in %v, %d bytes", m, is, busy, facts, in, size)
		}
	}
	empty := func() {
		t.Helper()
		if err := s.Empty(); err != nil {
			t.Fatal(err)
		}
		if s.unfiled != 0 || s.messages.busy.Len() != 0 {
			t.Errorf("the journal is empty, and %d messages are unfiled, %d busy", s.unfiled, s.messages.busy.Len())
		}
	}
	hundred := Hundred.at(id, 0)
	check(true, 1, hundred, 0)
	empty()
	check(false, 1, hundred, 512)
	if _, err := s.Append(fact.Change{ID: id, Fact: fact.Freed{By: strings.Repeat("second", 100)}}); err != nil {
		t.Fatal(err)
	}
	check(true, 2, hundred, 512)
	empty()
	check(false, 2, hundred, 512+1024)
	if err := s.SetFoldering(Flat); err != nil {
		t.Fatal(err)
	}
	if err := s.Refold(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(false, 2, root, 512+1024)
	empty()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = restingSpool(t, d)
	check(false, 2, root, 512+1024)
	r, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if _, err := s.Append(fact.Change{ID: id, Fact: fact.Gone{}}); err != nil {
		t.Fatal(err)
	}
	empty()
	defer s.Close()
	if n, left := s.Len(), d.Files(".msg"); n != 0 || len(left) != 0 {
		t.Errorf("%d messages and %v are left, want none", n, left)
	}
}

// weight is how much of the live heap goes with a spool.
func weight(s **Spool) int {
	live := func() int {
		runtime.GC()
		runtime.GC() // pools are emptied by the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	with := live()
	runtime.KeepAlive(*s)
	*s = nil
	return with - live()
}

// A message that rests takes some 18 bytes: when it got its file, when a start has found
// it, and when it was told something since.
func TestMemoryOfWhatRests(t *testing.T) {
	const n, most = 50_000, 40
	d, none := crashdisk.New(-1), crashdisk.New(-1)
	var ids []mail.ID
	wait := func(s *Spool) { // or what the journal has to write grows, and its memory
		if err := s.Wait(s.newest); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		live func(*Spool)
	}{
		{"new", func(s *Spool) {
			for some := range slices.Chunk(make([]mail.ID, n), 100) {
				for i := range some {
					some[i] = accepted(t, s)
				}
				ids = append(ids, some...)
				wait(s)
			}
		}},
		{"found", func(*Spool) {}},
		{"told", func(s *Spool) {
			for some := range slices.Chunk(ids, 100) {
				changes := make([]fact.Change, 0, len(some))
				for _, id := range some {
					changes = append(changes, fact.Change{ID: id, Fact: fact.Freed{By: "act"}})
				}
				if _, err := s.Append(changes...); err != nil {
					t.Fatal(err)
				}
				wait(s)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			life := func(d *crashdisk.Disk, live func(*Spool)) (bytes int) {
				s := restingSpool(t, d)
				live(s)
				if err := errors.Join(s.Empty(), s.Close()); err != nil {
					t.Fatal(err)
				}
				return weight(&s)
			}
			empty := life(none, func(*Spool) {})
			per := (life(d, tt.live) - empty) / n
			t.Logf("%d bytes a message", per)
			if per > most {
				t.Errorf("%d bytes a message that rests, want at most %d", per, most)
			}
		})
	}
}

// Readers, backups, facts, checkpoints and moves go on at the same time: every text is
// read whole, no fact is lost, and in the end all messages rest.
func TestNobodyMindsWhoRests(t *testing.T) {
	d := crashdisk.New(-1)
	s := restingSpool(t, d)
	texts, told := map[mail.ID]string{}, map[mail.ID]int{}
	for i := range 12 {
		draft, err := s.Draft(&mail.Envelope{Source: mail.SMTP, Recipients: []mail.Recipient{{Address: mail.Address{Local: "r", Domain: "b.example"}}}})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat(fmt.Sprintln("line of", i), 1+i%3*20_000) // the longest is a file from the start
		if _, err := draft.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := draft.Commit(t.Context(), journal.Intake, nil); err != nil {
			t.Fatal(err)
		}
		texts[draft.ID] = text
	}
	ids := slices.Sorted(maps.Keys(texts))
	var all sync.WaitGroup
	loop := func(n int, step func(i int) error) {
		all.Go(func() {
			for i := range n {
				if err := step(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	loop(600, func(i int) error {
		id := ids[i*7%len(ids)]
		told[id]++
		n, err := s.Append(fact.Change{ID: id, Fact: fact.Freed{By: fmt.Sprint(i)}})
		return cmp.Or(err, s.Wait(n))
	})
	loop(60, func(int) error { return s.Empty() })
	loop(40, func(i int) error {
		return cmp.Or(s.SetFoldering([]Foldering{Flat, Ten, Hundred}[i%3]), s.Refold(t.Context()))
	})
	loop(600, func(i int) error {
		id := ids[i%len(ids)]
		r, err := s.Open(id)
		if err != nil {
			return err
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != texts[id] {
			return fmt.Errorf("message %d reads as %.20q, %d bytes, %w; want %.20q, %d bytes", id, b, len(b), err, texts[id], len(texts[id]))
		}
		return nil
	})
	loop(20, func(int) error {
		made, err := s.Backup(t.Context(), io.Discard)
		if err == nil && made.Messages != len(ids) {
			err = fmt.Errorf("a backup of %+v, want %d messages", made, len(ids))
		}
		return err
	})
	all.Wait()
	if err := s.Empty(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, id := range ids {
			m, _ := s.messages.look(id)
			if m.text != int64(len(texts[id])) || int(m.facts) != told[id] {
				t.Errorf("message %d: %+v; want %d bytes, %d facts", id, m, len(texts[id]), told[id])
			}
		}
		if s.unfiled != 0 || s.messages.busy.Len() != 0 || s.messages.resting.Len() != len(ids) {
			t.Errorf("%d messages are unfiled, %d busy, %d rest; want none, none, %d", s.unfiled, s.messages.busy.Len(), s.messages.resting.Len(), len(ids))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = restingSpool(t, d) // finds the same
	}
	s.Close()
}
