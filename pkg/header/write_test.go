package header_test

import (
	"testing"
	"time"

	"cgq/pkg/header"
)

func TestWithout(t *testing.T) {
	for head, want := range map[string]string{
		"":                                  "",
		"A: 1\n":                            "A: 1\n",
		"Bcc: x\n":                          "",
		"A: 1\nBcc: x,\n y\nB: 2\n":         "A: 1\nB: 2\n",
		"bcc : x\r\nA: 1\r\nBCC: y\r\n":     "A: 1\r\n",
		"A: 1\nReturn-Path: <>\nB: no end":  "A: 1\nB: no end\n",
		"A: Bcc: 1\n Bcc: a fold\nBcc: end": "A: Bcc: 1\n Bcc: a fold\n",
		"no field\nBcc: x\nnor this\n":      "no field\nnor this\n",
	} {
		if got := string(header.Without([]byte(head), "Bcc", "Return-Path")); got != want {
			t.Errorf("%q: %q, want %q", head, got, want)
		}
	}
}

func TestIsField(t *testing.T) {
	for line, want := range map[string]bool{"A: 1\n": true, "A:": true, "A b: 1\n": false, "": false, "no colon\n": false, ": 1\n": false} {
		if got := header.IsField([]byte(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestDate(t *testing.T) {
	at := time.Date(2026, 11, 5, 9, 8, 7, 6, time.FixedZone("", -3600))
	if got := at.Format(header.DateForm); got != "Thu, 05 Nov 2026 09:08:07 -0100" {
		t.Error(got)
	}
}
