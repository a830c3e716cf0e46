package amqp

// rememberedCancels is how many cancelled calls are remembered at most.
const rememberedCancels = 4096

// cancelled are the calls, by correlation id, whose callers gave up before they
// came: they may still wait in the queue. The word goes to all instances, and
// not one learns what has become of a call that it does not get, so the oldest
// are forgotten when there are many. The zero value is ready to use.
type cancelled struct {
	ids   map[string]struct{}
	order []string // of ids, those that have come since included
	next  int      // the oldest, once there are as many as are remembered
}

func (c *cancelled) add(id string) {
	if c.ids == nil {
		c.ids = make(map[string]struct{})
	}
	c.ids[id] = struct{}{}
	if len(c.order) < rememberedCancels {
		c.order = append(c.order, id)
		return
	}
	delete(c.ids, c.order[c.next])
	c.order[c.next] = id
	c.next = (c.next + 1) % rememberedCancels
}

// take tells whether id was added, and forgets it.
func (c *cancelled) take(id string) bool {
	_, added := c.ids[id]
	delete(c.ids, id)
	return added
}
