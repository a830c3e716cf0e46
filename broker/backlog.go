package broker

// Backlog is what waits on a broker and how much room is left for more, as
// far as it concerns one link: see Broker.Backlog.
type Backlog struct {
	Waiting []Waiting
	Stores  []Store

	// Blocked is why the broker takes no messages of this link at present, such
	// as a memory alarm of RabbitMQ; empty while it takes them.
	Blocked string
}

// Waiting is a subscription and how many events wait in it. Those that
// handlers have at the moment may be counted, too. A Singleton has neither
// Service nor Handler; the ids of a Broadcast are counted as one.
type Waiting struct {
	Service, Handler string
	Source, Event    string
	Events           uint64
}

// Store is one place where a broker keeps messages, such as the stream of the
// events of one source.
type Store struct {
	Name  string // as the broker's own tools show it
	Used  int64  // bytes
	Limit int64  // bytes; beyond them it refuses more. 0: it has no limit of its own

	// Lost is how many messages that were confirmed a damaged disk has cost,
	// as far as was noticed when the broker was started in this process.
	Lost uint64
}

// Add counts events of a subscription.
func (b *Backlog) Add(w Waiting) {
	for i := range b.Waiting {
		known := &b.Waiting[i]
		if known.Service == w.Service && known.Handler == w.Handler && known.Source == w.Source && known.Event == w.Event {
			known.Events += w.Events
			return
		}
	}
	b.Waiting = append(b.Waiting, w)
}
