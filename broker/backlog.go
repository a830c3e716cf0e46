package broker

// Backlog is what waits on a broker and how much room its stores have left. It
// covers what concerns one link, see Broker.Backlog.
type Backlog struct {
	Waiting []Waiting
	Stores  []Store

	// Blocked says why the broker takes no messages from this link at present, such
	// as a memory alarm of RabbitMQ. It is empty while the broker takes messages.
	Blocked string
}

// Waiting is a subscription and the number of events that wait in it. Events
// that handlers have at the moment may be counted too. A Singleton has neither
// Service nor Handler. All ids of a Broadcast are counted together.
type Waiting struct {
	Service, Handler string
	Source, Event    string
	Events           uint64
}

// Store is one place where a broker keeps messages, such as the stream with the
// events of one source.
type Store struct {
	Name  string // the name that the broker's own tools show
	Used  int64  // bytes
	Limit int64  // bytes; the broker refuses messages beyond it. 0 means no limit of its own

	// Lost is how many confirmed messages a damaged disk has lost. The count is
	// what the broker noticed when it was started in this process.
	Lost uint64
}

// Add adds the events of a subscription. Events of the same subscription are
// summed.
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
