package harness

import (
	"sync/atomic"
	"time"
)

// counter counts operations and keeps the time of the last one.
type counter struct {
	count atomic.Int64
	last  atomic.Int64 // Unix time in nanoseconds
}

func (c *counter) add() {
	c.last.Store(time.Now().UnixNano())
	c.count.Add(1)
}
