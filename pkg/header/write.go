package header

import "slices"

// DateForm is the form of a time in a header (RFC 5322 §3.3), as [time.Time.Format] has it.
const DateForm = "Mon, 02 Jan 2006 15:04:05 -0700"

// IsField says whether a text begins with a field.
func IsField(text []byte) bool {
	for range Fields(text) {
		return true
	}
	return false
}

// Without is a header without all fields of some names. The rest is as it was, but for an
// end of the last line that was missing.
func Without(head []byte, names ...string) []byte {
	kept := make([]byte, 0, len(head)+256) // fields are going to be added
	at := 0
	for f := range Fields(head) {
		if slices.ContainsFunc(names, f.Is) {
			kept, at = append(kept, head[at:f.Start]...), f.End
		}
	}
	kept = append(kept, head[at:]...)
	if n := len(kept); n > 0 && kept[n-1] != '\n' {
		kept = append(kept, '\n')
	}
	return kept
}
