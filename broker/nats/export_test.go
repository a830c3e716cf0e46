package nats

import (
	"net"
	"time"
)

// WaitingCalls counts the calls that the client has, that which is being
// received included.
func (d *Driver) WaitingCalls() (n int) {
	for _, m := range d.joined() {
		waiting, _, _ := m.calls.requests.Pending()
		n += waiting
	}
	return n
}

// CancelledCalls counts the calls known to be cancelled before they were received.
func (d *Driver) CancelledCalls() (n int) {
	for _, m := range d.joined() {
		m.calls.mu.Lock()
		n += len(m.calls.cancelled)
		m.calls.mu.Unlock()
	}
	return n
}

// Cut ends the connection as the death of the process would.
func (d *Driver) Cut() { d.link.nc.Close() }

// ShortRequests makes requests for events expire after 1.2 s instead of 1 min.
func ShortRequests(c Config) Config {
	c.requestAge = 1200 * time.Millisecond
	return c
}

// AsBefore makes do as with a server before 2.11.
func AsBefore(c Config) Config {
	c.noSchedules, c.noPins = true, true
	return c
}

// NewConn is newConn.
func NewConn(c net.Conn) net.Conn { return newConn(c) }
