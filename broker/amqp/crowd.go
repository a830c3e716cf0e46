package amqp

import (
	"context"
	"sync"

	"github.com/enoki-go/enoki/broker"
)

// consumersPerLink is how many one connection takes before a further one is
// made. RabbitMQ allows 2047 channels on a connection (channel_max), every
// consumer has its own, and declarations and dead letters need some, too.
const consumersPerLink = 1500

// crowd are the connections that consume: one, which does for all but
// processes of hundreds of services, and further ones.
type crowd struct {
	most int // consumers on each

	mu        sync.Mutex
	links     []*link
	consumers map[*link]int
}

func newCrowd(first *link, most int) *crowd {
	return &crowd{most: most, links: []*link{first}, consumers: map[*link]int{}}
}

// join returns a link with room for n consumers, which are counted on it until
// leave is called. It makes one when there is none.
func (c *crowd) join(ctx context.Context, d *Driver, n int) (*link, error) {
	if l := c.withRoom(n); l != nil {
		return l, nil
	}
	l := newFurtherLink(d.consuming)
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	c.add(l, n) // before run is started: then Close sees it
	if !d.goRun(func() { l.run(d.ctx) }) {
		l.close()
		return nil, broker.ErrClosed
	}
	return l, nil
}

func (c *crowd) withRoom(n int) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		if c.consumers[l] == 0 || c.consumers[l]+n <= c.most {
			c.consumers[l] += n
			return l
		}
	}
	return nil
}

func (c *crowd) add(l *link, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links = append(c.links, l)
	c.consumers[l] = n
}

// leave makes room. The link stays: who had so many services will have them
// again.
func (c *crowd) leave(l *link, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.consumers[l] -= n
}

func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		l.close()
	}
}

// newFurtherLink returns a link that consumes beside another one.
func newFurtherLink(beside *link) *link {
	l, _ := newLinks(beside.address, beside.config)
	l.twin = beside.twin
	return l
}
