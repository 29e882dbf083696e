package serverlog

import "time"

// A clock keeps the text of the time, because many records share a millisecond.
type clock struct {
	ms   int64 // since 1970; 0: never set
	text [len(clockLayout)]byte
	day  string
	date [3]int
}

// set makes t the time. A record that comes a little late, because two goroutines
// raced, gets the time of the one before it: a file's lines are in order.
func (c *clock) set(t time.Time) {
	ms := t.UnixMilli()
	if ms <= c.ms && ms > c.ms-1000 {
		return
	}
	c.ms = ms
	t = t.Local()
	hour, minute, second := t.Clock()
	milli := t.Nanosecond() / 1e6
	for i, n := range [...]int{hour, minute, second} {
		c.text[3*i], c.text[3*i+1], c.text[3*i+2] = byte('0'+n/10), byte('0'+n%10), ':'
	}
	c.text[8] = '.'
	c.text[9], c.text[10], c.text[11] = byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10)
	year, month, day := t.Date()
	if date := [3]int{year, int(month), day}; date != c.date {
		c.date, c.day = date, t.Format(dayLayout)
	}
}
