package dequeuer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cgq/pkg/mail"
	"cgq/pkg/settings"
)

// Settings are those of the chapter's Dequeuer panel.
type Settings struct {
	Processors      int                 `toml:"processors" doc:"how many messages the Dequeuer reports on, or takes out of the Queue, at the same time; 1 to 100 (chapter: Processors)"`
	ReportingDelay  settings.Duration   `toml:"reporting_delay" doc:"how long a report waits for the results of other recipients of its message; 0s to 24h; it leaves at once after the last one (chapter: Reporting Delay)"`
	WarnAfter       []settings.Duration `toml:"send_warnings_after" doc:"how old a message is when its sender is told that it still waits for some recipients, once for each of these ages; 1s to 30d each, 10 at most; empty: he is not (chapter: Send Warnings after)"`
	OnFailureReturn string              `toml:"on_failure_return" values:"headers by default|body by default|always headers|always body" doc:"how much of a message goes back with a failure report: \"headers by default\" or \"body by default\", if its sender has not said (RET), or \"always headers\" or \"always body\", whatever he has said (chapter: On Failure, Return)"`
	ReturnLimit     settings.Size       `toml:"return_limit" doc:"of a message that is larger the header alone goes back; 0: there is no limit"`
	CopyReports     string              `toml:"copy_failure_reports" doc:"an address that gets all failure reports, too; empty: nobody (chapter: Copy Failure Reports)"`
	FailedReports   string              `toml:"failed_reports_to" doc:"an address, such as postmaster@example.com, that hears of reports, and other messages without a return path, that cannot be delivered; empty: nobody does, they are counted (dequeuerFailedReportsDropped)"`
	Receipts        string              `toml:"send_return_receipts_to" values:"everybody|clients|authenticated|nobody" doc:"who gets a report of a delivery, if he has asked for it (NOTIFY=SUCCESS): everybody, clients (authenticated senders, and the client_ip_addresses of server.toml), authenticated, nobody (chapter: Send Return-Receipts to)"`
	LogDelivery     bool                `toml:"log_message_delivery" doc:"each end of a recipient is a record in the supplementary log SystemLogs/EMails (chapter: Log Message Delivery)"`

	copyTo, failedTo mail.Address // CopyReports and FailedReports, after Validate
}

// The values of On Failure, Return.
const (
	headersByDefault = "headers by default"
	bodyByDefault    = "body by default"
	alwaysHeaders    = "always headers"
	alwaysBody       = "always body"
)

// The values of Send Return-Receipts to.
const (
	everybody     = "everybody"
	clients       = "clients"
	authenticated = "authenticated"
	nobody        = "nobody"
)

// Defaults are the settings of a new server.
func Defaults() Settings {
	return Settings{Processors: 1, ReportingDelay: settings.Duration(time.Minute), WarnAfter: []settings.Duration{settings.Duration(4 * time.Hour)},
		OnFailureReturn: headersByDefault, ReturnLimit: 1 << 20,
		Receipts: everybody}
}

// Validate names the first key that cannot be used.
func (s *Settings) Validate() (err error) {
	if s.Processors < 1 || s.Processors > 100 {
		return fmt.Errorf("processors: %d is not between 1 and 100", s.Processors)
	}
	if d := s.ReportingDelay.D(); d < 0 || d > 24*time.Hour {
		return fmt.Errorf("reporting_delay: %s is not between 0s and 24h", s.ReportingDelay)
	}
	if len(s.WarnAfter) > 10 {
		return fmt.Errorf("send_warnings_after: %d ages; 10 are the most", len(s.WarnAfter))
	}
	for _, d := range s.WarnAfter {
		if d.D() < time.Second || d > 30*settings.Day {
			return fmt.Errorf("send_warnings_after: %s is not between 1s and 30d", d)
		}
	}
	all := []string{headersByDefault, bodyByDefault, alwaysHeaders, alwaysBody}
	if !slices.Contains(all, s.OnFailureReturn) {
		return fmt.Errorf("on_failure_return: %q is none of %s", s.OnFailureReturn, strings.Join(all, ", "))
	}
	if who := []string{everybody, clients, authenticated, nobody}; !slices.Contains(who, s.Receipts) {
		return fmt.Errorf("send_return_receipts_to: %q is none of %s", s.Receipts, strings.Join(who, ", "))
	}
	if s.ReturnLimit < 0 {
		return fmt.Errorf("return_limit: %s is below 0", s.ReturnLimit)
	}
	for _, a := range []struct {
		key, is string
		to      *mail.Address
	}{{"copy_failure_reports", s.CopyReports, &s.copyTo}, {"failed_reports_to", s.FailedReports, &s.failedTo}} {
		if *a.to = (mail.Address{}); a.is != "" {
			if *a.to, err = mail.ParseAddress(a.is); err != nil {
				return fmt.Errorf("%s: %w", a.key, err)
			}
		}
	}
	return nil
}

// Warnings are the ages of a message at which its sender is told that it waits.
func (s *Settings) Warnings() (ages []time.Duration) {
	for _, d := range s.WarnAfter {
		ages = append(ages, d.D())
	}
	return ages
}

// back is how much of a message goes back whose sender has asked for so much.
func (s *Settings) back(asked mail.Return) mail.Return {
	switch s.OnFailureReturn {
	case alwaysHeaders:
		return mail.ReturnHeaders
	case alwaysBody:
		return mail.ReturnFull
	}
	switch {
	case asked != 0:
		return asked
	case s.OnFailureReturn == bodyByDefault:
		return mail.ReturnFull
	}
	return mail.ReturnHeaders
}
