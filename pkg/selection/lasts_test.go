package selection_test

import (
	"testing"

	"cgq/pkg/mail"
	"cgq/pkg/selection"
)

func TestLasts(t *testing.T) {
	for _, tt := range []struct {
		terms selection.Terms
		want  bool
	}{
		{selection.Terms{All: true}, true},
		{selection.Terms{Module: []string{"SMTP"}, Queue: []string{"a"}, Sender: []string{"<>"}, Subject: []string{"hi"}, Size: []string{"1M.."}}, true},
		{selection.Terms{Where: `sender == "ann@a.example" and size > 10`}, true},
		{selection.Terms{IDs: []mail.ID{1}}, false},
		{selection.Terms{Queue: []string{"a"}, Limit: 10}, false},
		{selection.Terms{Age: []string{">2h"}}, false},
		{selection.Terms{State: []string{"delayed"}}, false},
		{selection.Terms{Error: []string{"greylist"}}, false},
		{selection.Terms{Where: `queue == "a" and attempts > 2`}, false},
		{selection.Terms{Where: `age > duration("2h")`}, false},
	} {
		s, err := selection.Compile(tt.terms)
		if err != nil {
			t.Fatalf("%+v: %v", tt.terms, err)
		}
		if got := s.Lasts(); got != tt.want {
			t.Errorf("%s: Lasts = %v, want %v", s, got, tt.want)
		}
	}
}

func TestHostQueue(t *testing.T) {
	for _, tt := range []struct {
		terms selection.Terms
		want  string
	}{
		{selection.Terms{Module: []string{"smtp"}, Queue: []string{"A.example"}, Sender: []string{"<>"}}, "smtp a.example"},
		{selection.Terms{Module: []string{"SMTP", "LOCAL"}, Queue: []string{"a.example"}}, ""},
		{selection.Terms{Module: []string{"SMTP"}, Queue: []string{"a.example", "*.b.example"}}, ""},
		{selection.Terms{Module: []string{"SMTP"}, Queue: []string{"~a"}}, ""},
		{selection.Terms{Queue: []string{"a.example"}}, ""},
		{selection.Terms{All: true}, ""},
	} {
		s, err := selection.Compile(tt.terms)
		if err != nil {
			t.Fatalf("%+v: %v", tt.terms, err)
		}
		module, queue, ok := s.HostQueue()
		if got := module + " " + queue; ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%s: HostQueue = %q, %v; want %q", s, got, ok, tt.want)
		}
	}
}
