package rules

import (
	"strings"

	"cgq/pkg/header"
)

// automatic says by what a message shows that no person wrote it, for a person to
// read; nothing: by nothing. Such mail is never answered (RFC 3834 §2).
func (v *view) automatic() string {
	if v.m.Envelope.ReturnPath.IsZero() {
		return "the return path is null" // RFC 5321 §4.5.5
	}
	if why := automaticSender(v.m.Envelope.ReturnPath.Local); why != "" {
		return "the return path is that of " + why
	}
	if !v.parsed {
		v.parse()
	}
	for i := range v.fields {
		colon := v.fields[i].colon
		name, value := v.lines[i][:colon-1], v.lines[i][colon:]
		if v.shown {
			name, value = fold(name), fold(value)
		}
		if header.Automatic(name, value) {
			return "it has " + string(v.fields[i].Name)
		}
	}
	for _, address := range v.values(from) {
		local, _, _ := strings.Cut(address, "@")
		if why := automaticSender(local); why != "" {
			return "it is from " + why
		}
	}
	return ""
}

// automaticSender says what stands behind an address whose local part only programs
// have (RFC 3834 §2, RFC 2142).
func automaticSender(local string) string {
	local = fold(local)
	switch {
	case local == "mailer-daemon", local == "listserv", local == "majordomo":
		return local
	case strings.HasSuffix(local, "-request"), strings.HasPrefix(local, "owner-"), strings.HasSuffix(local, "-owner"),
		strings.HasSuffix(local, "-bounces"), strings.HasPrefix(local, "bounce-"):
		return "a mailing list"
	case local == "noreply", local == "no-reply", local == "do-not-reply", local == "donotreply":
		return "somebody who wants no reply"
	}
	return ""
}
