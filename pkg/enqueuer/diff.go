package enqueuer

import (
	"bytes"

	"cgq/pkg/fact"
)

// farthest is how many fields an addition or a removal is looked for across, until what is
// left of a header counts as one change.
const farthest = 64

// changes are the edits that make a header into another one: of whole fields, as few as
// are found by going through both once. What was added between two fields is one edit.
func changes(was, is []byte) (edits []fact.Edit) {
	a, b := fields(was), fields(is)
	at := 0 // of a[0] in was
	for len(a) > 0 || len(b) > 0 {
		if len(a) > 0 && len(b) > 0 && bytes.Equal(a[0], b[0]) {
			at += len(a[0])
			a, b = a[1:], b[1:]
			continue
		}
		gone, came := meet(a, b)
		cut := length(a[:gone])
		edits = append(edits, fact.Edit{At: int64(at), Cut: int64(cut), Text: string(bytes.Join(b[:came], nil))})
		at += cut
		a, b = a[gone:], b[came:]
	}
	return edits
}

// meet says how many fields of both are different until they go on alike.
func meet(a, b [][]byte) (gone, came int) {
	for d := 1; d <= farthest; d++ {
		for gone := 0; gone <= d; gone++ {
			came := d - gone
			switch {
			case gone > len(a) || came > len(b):
			case gone == len(a) && came == len(b):
				return gone, came
			case gone < len(a) && came < len(b) && bytes.Equal(a[gone], b[came]):
				return gone, came
			}
		}
	}
	return len(a), len(b)
}

func length(list [][]byte) (n int) {
	for _, f := range list {
		n += len(f)
	}
	return n
}

// fields are the fields of a header with their folds, and whatever else it has, a line each.
func fields(head []byte) (all [][]byte) {
	for len(head) > 0 {
		end := 0
		for {
			i := bytes.IndexByte(head[end:], '\n')
			if i < 0 {
				end = len(head)
				break
			}
			if end += i + 1; end == len(head) || head[end] != ' ' && head[end] != '\t' {
				break
			}
		}
		all, head = append(all, head[:end]), head[end:]
	}
	return all
}
