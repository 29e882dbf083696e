package mail

import "strings"

// ParseNotify reads the value of a NOTIFY parameter, in any case (RFC 3461 §4.1). The
// empty one is not given.
func ParseNotify(s string) (n Notify, ok bool) {
	if s == "" {
		return 0, true
	}
	for word := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(word) {
		case "SUCCESS":
			n |= NotifySuccess
		case "FAILURE":
			n |= NotifyFailure
		case "DELAY":
			n |= NotifyDelay
		case "NEVER":
			n |= NotifyNever
		default:
			return 0, false
		}
	}
	return n, n&NotifyNever == 0 || n == NotifyNever
}

// ParseReturn reads the value of a RET parameter, in any case; empty is not given.
func ParseReturn(s string) (Return, bool) {
	switch strings.ToUpper(s) {
	case "":
		return 0, true
	case "FULL":
		return ReturnFull, true
	case "HDRS":
		return ReturnHeaders, true
	}
	return 0, false
}

// ParseBodyType reads the value of a BODY parameter, in any case; empty is not given.
// BINARYMIME is not known: lines end with LF here.
func ParseBodyType(s string) (BodyType, bool) {
	switch strings.ToUpper(s) {
	case "":
		return 0, true
	case "7BIT":
		return Body7Bit, true
	case "8BITMIME":
		return Body8BitMIME, true
	}
	return 0, false
}
