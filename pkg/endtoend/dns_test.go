package endtoend

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"

	"github.com/foxcpp/go-mockdns"
	"github.com/rogpeppe/go-internal/testscript"
)

// dns starts a DNS server with the records in a file, a line each: a name and
// MX PREFERENCE HOST, A ADDRESS, or SERVFAIL. It sets $DNS to its address.
func (s *site) dns(ts *testscript.TestScript, args []string) {
	if len(args) != 1 || s.names != nil {
		ts.Fatalf("usage: dns FILE, once")
	}
	zones := map[string]mockdns.Zone{}
	for line := range strings.Lines(os.Expand(ts.ReadFile(args[0]), ts.Getenv)) {
		name, record, _ := strings.Cut(strings.TrimSpace(line), " ")
		zone := zones[name+"."]
		var mx net.MX
		switch kind, data, _ := strings.Cut(record, " "); kind {
		case "MX":
			_, err := fmt.Sscan(data, &mx.Pref, &mx.Host)
			ts.Check(err)
			zone.MX = append(zone.MX, mx)
		case "A":
			zone.A = append(zone.A, data)
		case "SERVFAIL":
			zone.Err = errors.New("out of order")
		default:
			ts.Fatalf("%q is no record", line)
		}
		zones[name+"."] = zone
	}
	var err error
	s.names, err = mockdns.NewServerWithLogger(zones, log.New(io.Discard, "", 0), false)
	ts.Check(err)
	ts.Setenv("DNS", s.names.LocalAddr().String())
}
