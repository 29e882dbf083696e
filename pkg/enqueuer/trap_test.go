package enqueuer_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"cgq/pkg/disk/crashdisk"
	"cgq/pkg/mail"
	"cgq/pkg/router"
)

// table gives the Router one.
func (s *site) table(t *testing.T, text string) {
	t.Helper()
	table, err := router.Parse("router.txt", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s.router.Use(table)
}

// Who sends to a spam trap is told that there is nobody of that name, and is not listened to
// for a while; clients are, and so is everybody else.
func TestSpamTrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, crashdisk.New(-1))
		s.table(t, "<bait@here.example> = SPAMTRAP\n")
		s.clients = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
		bait := mail.Recipient{Address: address("bait@here.example")}
		spammer, client, other := from(mail.SMTP, "192.0.2.1"), from(mail.SMTP, "198.51.100.1"), from(mail.SMTP, "192.0.2.2")
		known := from(mail.SMTP, "192.0.2.1")
		known.Auth = "ann@here.example"
		for _, e := range []*mail.Envelope{spammer, client} {
			refused(t, "Check", s.Check(t.Context(), e, bait), mail.Status{5, 1, 1})
		}
		refused(t, "Admit the spammer", s.Admit(t.Context(), spammer), mail.Status{5, 7, 1})
		for _, e := range []*mail.Envelope{client, other, known} {
			if err := s.Admit(t.Context(), e); err != nil {
				t.Errorf("Admit(%v, %q) = %v", e.Peer, e.Auth, err)
			}
		}
		if got, n := s.counted("enqueuerRefusedSpamTrap"), s.gauge("numSpamTrapAddresses"); got != 1 || n != 1 {
			t.Errorf("enqueuerRefusedSpamTrap = %d, numSpamTrapAddresses = %d, want 1 and 1", got, n)
		}
		time.Sleep(10*time.Minute + time.Second)
		if err := s.Admit(t.Context(), spammer); err != nil {
			t.Errorf("Admit after the time = %v", err)
		}
		s.settings.SpamTrapTime = 0
		refused(t, "Check", s.Check(t.Context(), spammer, bait), mail.Status{5, 1, 1})
		if err := s.Admit(t.Context(), spammer); err != nil {
			t.Errorf("Admit without a time = %v", err)
		}
	})
}

// A return path that the Router sends to ERROR is refused at MAIL FROM; the null one never is.
func TestSenderIsRouted(t *testing.T) {
	s := newSite(t, crashdisk.New(-1))
	s.table(t, "bad.example = ERROR\n<*@worse.example> = BLACKLISTED\n* = x._via\n")
	for path, status := range map[string]mail.Status{"<a@bad.example>": {5, 1, 8}, "<a@worse.example>": {5, 7, 1}, "<a@good.example>": {}, "<>": {}} {
		e := from(mail.SMTP, "192.0.2.1", "ann@here.example")
		e.ReturnPath = address(path)
		_, err := s.submit(t, e)
		if status == (mail.Status{}) {
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		refused(t, path, s.Admit(t.Context(), e), status)
		refused(t, path, err, status)
	}
}
