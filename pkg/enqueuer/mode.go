package enqueuer

import (
	"net/netip"

	"cgq/pkg/journal"
	"cgq/pkg/mail"
)

// asynchronous says whether a message is answered before the Enqueuer has seen it
// (chapter: Enqueue Asynchronously). What the server itself has made is, if there are
// Rules that could reject it: nobody there could do anything useful then.
func (e *Enqueuer) asynchronous(share journal.Share, env *mail.Envelope) bool {
	if share == journal.Inside {
		return e.hasRules()
	}
	client := env.Auth != "" || e.IsClient(env.Peer)
	switch e.settings.Load().Asynchronously {
	case anybody:
		return true
	case authenticated:
		return env.Auth != ""
	case unauthenticated:
		return env.Auth == ""
	case clients:
		return client
	case nonClients:
		return !client
	}
	return false
}

// IsClient says whether a network address is among the Client IP Addresses (chapter).
// This machine always is.
func (e *Enqueuer) IsClient(peer netip.Addr) bool {
	peer = peer.Unmap()
	if peer.IsLoopback() {
		return true
	}
	for _, p := range e.server.Clients() {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// mayRelay says whether a submitter may send to other systems: the server itself
// and authenticated users, clients on this machine or listed (chapter: Client IP
// Addresses), and nobody else.
func (e *Enqueuer) mayRelay(env *mail.Envelope) bool {
	return !env.Source.External() || env.Auth != "" || e.IsClient(env.Peer)
}

// hasRules says whether any Rule could have something to say.
func (e *Enqueuer) hasRules() bool { return !e.server.Rules().Empty() }
