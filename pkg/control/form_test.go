package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"cgq/pkg/control"
)

// texts are such as strangers write.
var texts = []string{"", "-", "SMTP", "a \"quoted\" \\ text", "line\r\nend\ttab", "\x00\x1b[2J\x7f\b\f", "Füße\u2028\u2029\u202e", "\xff\xfe cut \xc3",
	"\ufffd", "<b>&amp;</b>", "😀", "\ud7ff", `\u0041`, `{"end":{"rows":1}}`}

// fill makes a value at random.
func fill(r *rand.Rand, v reflect.Value) {
	if t, ok := v.Addr().Interface().(*time.Time); ok {
		switch r.IntN(4) {
		case 0: // zero
		case 1:
			*t = time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
		case 2:
			*t = time.Unix(r.Int64N(4e9), 0).In(time.FixedZone("", (r.IntN(28)-14)*3600))
		case 3:
			*t = time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
		}
		return
	}
	numbers := []int64{0, 1, -1, 7, 1 << 31, 999_999_999_999_999_999, 1_000_000_000_000_000_000, math.MaxInt64, math.MinInt64}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))] + texts[r.IntN(len(texts))])
	case reflect.Int, reflect.Int64:
		if _, ok := v.Interface().(control.Seconds); ok {
			v.SetInt(int64(time.Duration(r.IntN(1e6)) * time.Second)) // they travel whole
			return
		}
		v.SetInt(numbers[r.IntN(len(numbers))])
	case reflect.Uint64:
		v.SetUint(uint64(numbers[r.IntN(len(numbers))]))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.Slice:
		if r.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(3), 3))
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	default:
		panic("a row has a " + v.Type().String())
	}
}

// standard is a value as encoding/json has it.
func standard(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func checkForm[Row any](t *testing.T, plain bool) {
	t.Run(reflect.TypeFor[Row]().Name(), func(t *testing.T) {
		if control.Plain[Row]() != plain {
			t.Errorf("plain: %v", !plain)
		}
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same rows each time
		form := control.FormOf[Row]()
		var lines [][]byte
		for range 500 {
			var row Row
			fill(r, reflect.ValueOf(&row).Elem())
			got, err := form.Append([]byte("before"), &row)
			want, wrong := standard(row)
			if err != nil || wrong != nil {
				t.Fatal(err, wrong)
			}
			if got = bytes.TrimPrefix(got, []byte("before")); !bytes.Equal(got, want) {
				t.Fatalf("%s\nis by encoding/json\n%s", got, want)
			}
			lines = append(lines, got)
		}
		i := 0
		control.ReadLines(lines, func(got Row, err error) {
			sameRow(t, lines[i], got, err)
			i++
		})
	})
}

// sameRow checks that a line was read as encoding/json reads it.
func sameRow[Row any](t *testing.T, line []byte, got Row, err error) {
	t.Helper()
	var want Row
	wrong := json.Unmarshal(line, &want)
	if (err == nil) != (wrong == nil) {
		t.Fatalf("%s: %v, and by encoding/json %v", line, err, wrong)
	}
	if err == nil && fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\nreads as\n%#v, by encoding/json as\n%#v", line, got, want)
	}
}

func TestRowForm(t *testing.T) {
	checkForm[control.QueueRow](t, true)
	checkForm[control.MessageRow](t, true)
	checkForm[control.LogLine](t, true)
	checkForm[control.Element](t, true)
	checkForm[control.Account](t, true)
	checkForm[control.Listener](t, true)
	checkForm[control.ShapeRow](t, control.Plain[control.ShapeRow]())
	checkForm[control.TraceRow](t, control.Plain[control.TraceRow]())
	checkForm[control.HoldRow](t, control.Plain[control.HoldRow]())
	checkForm[control.TrashRow](t, control.Plain[control.TrashRow]())
	checkForm[control.LogLevel](t, control.Plain[control.LogLevel]())
	checkForm[control.CheckItem](t, control.Plain[control.CheckItem]())
	checkForm[control.RuleRow](t, false)
	checkForm[control.SettingRow](t, false)
	checkForm[control.SettingsChange](t, false)
	checkForm[control.RecipientRow](t, false) // Seconds have their own JSON
}

// A time that RFC 3339 cannot say is an error, as by encoding/json, and no broken line.
func TestRowFormOfNoTime(t *testing.T) {
	row := control.LogLine{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := control.FormOf[control.LogLine]().Append(nil, &row); err == nil {
		t.Error("the year 10000 was written")
	}
}

func TestRowFormAllocates(t *testing.T) {
	form := control.FormOf[control.QueueRow]()
	row := control.QueueRow{Module: "SMTP", Queue: "example.com", State: control.Delayed, Messages: 3, Oldest: time.Now().UTC(),
		LastError: "421 4.7.0 try again later"}
	b := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		var err error
		if b, err = form.Append(b[:0], &row); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
	lines := make([][]byte, 1000)
	for i := range lines {
		lines[i] = b
	}
	if n := testing.AllocsPerRun(10, func() {
		control.ReadLines(lines, func(_ control.QueueRow, err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
	}); n > 100 {
		t.Errorf("to read the same row 1000 times allocates %v times", n)
	}
}

// Whatever comes is read as encoding/json reads it, and a row says nothing of the row
// before it.
func FuzzReadRow(f *testing.F) {
	form := control.FormOf[control.MessageRow]()
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // seeds
	for range 20 {
		var row control.MessageRow
		fill(r, reflect.ValueOf(&row).Elem())
		line, err := form.Append(nil, &row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"id":01,"module":"SMTP"}`))
	f.Add([]byte(`{,"id":1}`))
	f.Add([]byte(`{"id":1,"new":[1,2],"module":"SMTP"}`))
	f.Add([]byte(`{"id":-1}`))
	f.Add([]byte("{\"module\":\"\xff\"}"))
	full, err := form.Append(nil, &control.MessageRow{ID: 9, Module: "M", Queue: "Q", State: "s", Submitted: time.Unix(1e9, 0).UTC(),
		ReturnPath: "r", Sender: "s", Source: "s", Bytes: -1, Recipients: 1, Attempts: 1, DelayedTill: time.Unix(1e9, 0).UTC(), LastError: "e", Subject: "s"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		lines := [][]byte{full, line, full, line}
		i := 0
		control.ReadLines(lines, func(got control.MessageRow, err error) {
			sameRow(t, lines[i], got, err)
			i++
		})
	})
}
