package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLastCount(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		fails    bool
	}{
		{"nothing printed yet", "", 0, false},
		{"one", "sess=1 quit=0 mesg=1\r", 1, false},
		{"the last counts", "sess=1 quit=0 mesg=1\rsess=2 quit=1 mesg=12\r", 12, false},
		{"a line half written does not", "sess=2 quit=1 mesg=12\rsess=2 quit=1 mesg=1", 12, false},
		{"cut at the front", "esg=9\rsess=2 quit=1 mesg=10\r", 10, false},
		{"something else", "smtp-sink: fatal\r", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lastCount([]byte(tt.in))
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("lastCount(%q) = %d, %v; want %d, failure %v", tt.in, got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestSumMessages(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     int
		fails    bool
	}{
		{"empty queue", "", 0, false},
		{"two queues", `{"queue":"a","messages":3}` + "\n" + `{"queue":"b","messages":4}` + "\n", 7, false},
		{"a row without the count", `{"queue":"a"}`, 0, true},
		{"an error instead of rows", "cgqd: no such call", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sumMessages([]byte(tt.in))
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("sumMessages(%q) = %d, %v; want %d, failure %v", tt.in, got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestCountFilesOfAPostfixQueue(t *testing.T) {
	queue := t.TempDir()
	for _, name := range []string{"incoming/1", "hold/2", "deferred/A/3", "defer/A/3", "pid/master.pid"} {
		path := filepath.Join(queue, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := countFiles(queue); got != 3 || err != nil {
		t.Errorf("countFiles = %d, %v; want the 3 in incoming, hold and deferred", got, err)
	}
}
