package smtp

import (
	"context"
	"net"
)

// SetDial makes m dial elsewhere.
func (m *Module) SetDial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	m.dial = dial
}
