package nats

// CancelledCalls counts the calls known to be cancelled before they started.
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
