package control

// A RouteQuery asks what the Router makes of an address.
type RouteQuery struct {
	Address string `json:"address"`          // as in RCPT TO, with <> or without
	Sender  bool   `json:"sender,omitempty"` // asked about as a return path
}

// Check refuses the query about nobody. The null return path is <>.
func (q RouteQuery) Check() error {
	if q.Address == "" {
		return Errorf(KindBadRequest, "name one, as in ann@example.com", "no address")
	}
	return nil
}

// A Routing is where an address goes, and how it gets there; or why it is refused. Of a
// return path there is nothing but whether it is refused.
type Routing struct {
	Address string      `json:"address"`           // as asked
	Sender  bool        `json:"sender,omitempty"`  // asked about as a return path
	Steps   []RouteStep `json:"steps"`             //
	Route   string      `json:"route,omitempty"`   // MODULE(queue)address; empty: refused
	Module  string      `json:"module,omitempty"`  // SYSTEM: what the server discards
	Queue   string      `json:"queue,omitempty"`   // the host queue
	To      string      `json:"to,omitempty"`      // the address in it
	Relay   bool        `json:"relay"`             // it leaves this server: only clients may send to it
	Refused string      `json:"refused,omitempty"` // enhanced status and text; empty: it is taken
	Trap    bool        `json:"trap,omitempty"`    // refused, because it is a spam trap
}

// A RouteStep is one thing that the Router did with an address.
type RouteStep struct {
	Line    int    `json:"line"`              // in the Router table; 0: built in
	Record  string `json:"record"`            // as it stands there, or the rule in words
	Before  string `json:"before"`            //
	After   string `json:"after"`             //
	Relay   string `json:"relay,omitempty"`   // what it said about relaying
	Module  string `json:"module,omitempty"`  // that claimed the address
	Attempt int    `json:"attempt,omitempty"` // at which it did: 1 first, 2 final
}
