// Package outboxtest proves that a database keeps the promises of package
// outbox. Run it in a test of every outbox.Store. It leaves connecting to the
// database to that test.
package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/memory"
	"github.com/enoki-go/enoki/outbox"
)

// Database is an empty database with an outbox and an inbox.
type Database[Tx any] struct {
	Store   outbox.Store[Tx]
	PerCall *enoki.PerCall[Tx]
	Inbox   enoki.Inbox // writes in the transaction of PerCall

	Write   func(ctx context.Context, tx Tx, name string) error // adds a user's data
	Written func(ctx context.Context) ([]string, error)         // returns the added and committed data, in any order
}

// patience bounds each wait for something that must come.
const patience = time.Minute

// Run runs every case, each on a database of its own. open is called once for
// each case.
func Run[Tx any](t *testing.T, open func(t *testing.T) Database[Tx]) {
	for name, run := range map[string]func(t *testing.T, db Database[Tx]){
		"data and event are stored both or neither":         bothOrNeither[Tx],
		"an event keeps what its context says":              keepsContext[Tx],
		"what waits is emitted oldest first":                oldestFirst[Tx],
		"what is not emitted stays":                         staysUnlessEmitted[Tx],
		"what is refused is kept as dead, and others go on": refusedGoOn[Tx],
		"a dead record is retried or discarded":             deadSettled[Tx],
		"an event that no broker takes fails its call":      refusedInTime[Tx],
		"a record that can't be read is told as dead":       unreadableTold[Tx],
		"what waits is measured":                            measured[Tx],
		"one relay runs at a time":                          oneRelay[Tx],
		"what others left is found at the next start":       leftBehind[Tx],
		"an event that comes twice has its effect once":     onceEach[Tx],
		"an event whose handler fails is not remembered":    failureForgotten[Tx],
		"an event that comes twice at once has one effect":  onceAtOnce[Tx],
	} {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

type order struct {
	Name string `json:"name"`
}

var placed = enoki.NewEvent[order]("orders", "placed")

// shop is a service that writes data and an event in one transaction.
type shop[Tx any] struct {
	db     Database[Tx]
	placed outbox.Emit[Tx, order]
}

func (s *shop[Tx]) place(ctx context.Context, name string, fail bool) error {
	tx, err := s.db.PerCall.Get(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.db.Write(ctx, tx, name), s.placed(ctx, tx, order{name})); err != nil {
		return err
	}
	if fail {
		return errors.New("on purpose")
	}
	return nil
}

func (s *shop[Tx]) service() *enoki.Service {
	return enoki.NewService("orders", s.db.PerCall,
		outbox.Use(s.db.Store, outbox.Emits(placed, &s.placed)),
		enoki.Method("place", s.place, "name", "fail"))
}

// put stores records without anybody who relays them.
func put[Tx any](t *testing.T, db Database[Tx], records ...outbox.Record) {
	t.Helper()
	store := func(ctx context.Context) error {
		tx, err := db.PerCall.Get(ctx)
		for _, r := range records {
			err = errors.Join(err, db.Store.Put(ctx, tx, r))
		}
		return err
	}
	c := start(t, enoki.NewService("putter", db.PerCall, enoki.Method("put", store)))
	if _, err := c.Call(t.Context(), "putter", "put", nil, nil); err != nil {
		t.Fatal(err)
	}
}

// start runs services on a broker of their own until the test ends.
func start(t *testing.T, services ...*enoki.Service) *enoki.Client {
	t.Helper()
	return startOn(t, memory.New(), &enoki.Options{}, services...)
}

func startOn(t *testing.T, b broker.Broker, o *enoki.Options, services ...*enoki.Service) *enoki.Client {
	t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	o.Logger, o.OnReady = slog.New(slog.DiscardHandler), func() { close(ready) }
	go func() { ended <- enoki.Run(ctx, b, o, services...) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the services did not start: %v", err)
	}
	return enoki.NewClient(b, o)
}

// listener is a service that shows the events it gets.
func listener(got chan<- order) *enoki.Service {
	return enoki.NewService("listener", enoki.On(placed, func(ctx context.Context, o order) error {
		got <- o
		return nil
	}))
}

func next(t *testing.T, got <-chan order) string {
	t.Helper()
	select {
	case o := <-got:
		return o.Name
	case <-time.After(patience):
		t.Fatalf("no event within %v", patience)
		return ""
	}
}

// wrote fails the test unless these data, and no others, are there.
func wrote[Tx any](t *testing.T, db Database[Tx], want ...string) {
	t.Helper()
	names, err := db.Written(t.Context())
	slices.Sort(names)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("the database has %q and error %v, want %q", names, err, want)
	}
}

func bothOrNeither[Tx any](t *testing.T, db Database[Tx]) {
	got := make(chan order, 8)
	c := start(t, (&shop[Tx]{db: db}).service(), listener(got))
	for i, fail := range []bool{false, true, false} {
		_, err := c.Call(t.Context(), "orders", "place", []any{fmt.Sprint(i), fail}, nil)
		if (err != nil) != fail {
			t.Fatalf("order %d: %v", i, err)
		}
	}
	wrote(t, db, "0", "2")
	came := []string{next(t, got), next(t, got)}
	slices.Sort(came) // two handlers may run at once
	if !slices.Equal(came, []string{"0", "2"}) {
		t.Errorf("events of orders %q came, want 0 and 2", came)
	}
}

func keepsContext[Tx any](t *testing.T, db Database[Tx]) {
	s := &shop[Tx]{db: db}
	due := time.Now().Add(time.Hour).Round(0)
	store := func(ctx context.Context) error {
		tx, err := db.PerCall.Get(ctx)
		ctx = enoki.WithContextData(ctx, "language", "de")
		ctx = enoki.WithContextData(ctx, "shelf", 7)
		return errors.Join(err, s.placed(ctx, tx, order{"ä"}, enoki.At(due), enoki.WithMessageID("order-1")))
	}
	// The relay of this broker gets the event as any other does.
	b := &recorder{Broker: memory.New(), emitted: make(chan emitted, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	o := &enoki.Options{Logger: slog.New(slog.DiscardHandler), OnReady: func() { close(ready) }}
	go func() {
		ended <- enoki.Run(ctx, b, o, enoki.NewService("orders", db.PerCall,
			outbox.Use(db.Store, outbox.Emits(placed, &s.placed)), enoki.Method("store", store)))
	}()
	<-ready
	if _, err := enoki.NewClient(b, o).Call(t.Context(), "orders", "store", nil, nil); err != nil {
		t.Fatal(err)
	}
	got := <-b.emitted
	cancel()
	if err := errors.Join(<-ended, b.Close()); err != nil {
		t.Error(err)
	}
	m := got.message
	if got.name != "orders.placed" || m.ID != "order-1" || string(m.Body) != `{"name":"ä"}` || !m.Due.Equal(due) {
		t.Errorf("%s has id %q, body %s and is due %v; want orders.placed, order-1, due %v", got.name, m.ID, m.Body, m.Due, due)
	}
	stack, _ := m.Context["call_id_stack"].([]any)
	if m.Context["language"] != "de" || m.Context["shelf"] != int64(7) || len(stack) == 0 {
		t.Errorf("the context data are %v", m.Context)
	}
}

func oldestFirst[Tx any](t *testing.T, db Database[Tx]) {
	const n = 250 // more than one portion
	var want []string
	var records []outbox.Record
	for i := range n {
		want = append(want, fmt.Sprint(i))
		records = append(records, outbox.Record{Source: "orders", Event: fmt.Sprint(i), Message: []byte(`{"id":"x"}`)})
	}
	put(t, db, records...)
	var got []string
	emit := func(_ context.Context, r outbox.Record) error {
		got = append(got, r.Event)
		if r.Source != "orders" || string(r.Message) != `{"id":"x"}` {
			t.Errorf("record is %s.%s %s", r.Source, r.Event, r.Message)
		}
		return nil
	}
	for range 2 { // the second finds none
		if err := db.Store.Relay(t.Context(), emit); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records came: %v; want %d in order", len(got), got, n)
	}
}

func staysUnlessEmitted[Tx any](t *testing.T, db Database[Tx]) {
	for _, event := range []string{"a", "b", "c"} {
		put(t, db, outbox.Record{Source: "orders", Event: event, Message: []byte("{}")})
	}
	refused := errors.New("the broker is away")
	var got []string
	emit := func(_ context.Context, r outbox.Record) error {
		got = append(got, r.Event)
		if len(got) == 2 {
			return refused
		}
		return nil
	}
	if err := db.Store.Relay(t.Context(), emit); !errors.Is(err, refused) {
		t.Errorf("Relay returns %v, want the error of emit", err)
	}
	if err := db.Store.Relay(t.Context(), emit); err != nil {
		t.Error(err)
	}
	if want := []string{"a", "b", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("emitted %q, want %q", got, want)
	}
}

// refuseB emits all records but those named b.
func refuseB(got *[]string) func(context.Context, outbox.Record) error {
	return func(_ context.Context, r outbox.Record) error {
		*got = append(*got, r.Event)
		if r.Event == "b" {
			return fmt.Errorf("%w: b is too large", outbox.ErrRefused)
		}
		return nil
	}
}

// counted fails the test unless so many records are there.
func counted[Tx any](t *testing.T, db Database[Tx], waiting, dead int) {
	t.Helper()
	n, err := db.Store.Count(t.Context())
	if err != nil || n.Waiting != waiting || n.Dead != dead {
		t.Errorf("Count is %+v, %v; want %d that wait and %d that are dead", n, err, waiting, dead)
	}
	if waiting == 0 && !n.Oldest.IsZero() || time.Since(n.Oldest) < -time.Minute {
		t.Errorf("the oldest of %d records was put at %v", waiting, n.Oldest)
	}
}

func refusedGoOn[Tx any](t *testing.T, db Database[Tx]) {
	counted(t, db, 0, 0)
	for _, event := range []string{"a", "b", "c"} {
		put(t, db, outbox.Record{Source: "orders", Event: event, Message: []byte("{}")})
	}
	counted(t, db, 3, 0)
	var got []string
	for range 2 { // the second finds none
		if err := db.Store.Relay(t.Context(), refuseB(&got)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("emitted %q, want %q", got, want)
	}
	counted(t, db, 0, 1)
}

func deadSettled[Tx any](t *testing.T, db Database[Tx]) {
	put(t, db, outbox.Record{Source: "orders", Event: "b", Message: []byte(`{"id":"x"}`)})
	var got []string
	for _, what := range []outbox.Settlement{outbox.Keep, outbox.Retry, outbox.Discard} {
		if err := db.Store.Relay(t.Context(), refuseB(&got)); err != nil {
			t.Fatal(err)
		}
		seen := 0
		err := db.Store.Dead(t.Context(), func(d outbox.DeadRecord) outbox.Settlement {
			if seen++; d.Source != "orders" || d.Event != "b" || string(d.Message) != `{"id":"x"}` || !strings.Contains(d.Reason, "too large") {
				t.Errorf("dead record %s.%s %s: %s", d.Source, d.Event, d.Message, d.Reason)
			}
			return what
		})
		if err != nil || seen != 1 {
			t.Errorf("%d dead records, %v; want 1", seen, err)
		}
	}
	if want := []string{"b", "b"}; !slices.Equal(got, want) {
		t.Errorf("emitted %q, want %q: once, and once after Retry", got, want)
	}
	counted(t, db, 0, 0)
}

// picky is a broker that takes no event with a certain text.
type picky struct {
	broker.Broker
	text string
}

func (p *picky) CheckEvent(source, event string, m *broker.Message) error {
	if strings.Contains(string(m.Body), p.text) {
		return fmt.Errorf("picky: %w", broker.ErrInvalid)
	}
	return nil
}

func (p *picky) Emit(ctx context.Context, source, event string, m *broker.Message) error {
	if err := p.CheckEvent(source, event, m); err != nil {
		return err
	}
	return p.Broker.Emit(ctx, source, event, m)
}

func refusedInTime[Tx any](t *testing.T, db Database[Tx]) {
	got := make(chan order, 8)
	c := startOn(t, &picky{memory.New(), "large"}, &enoki.Options{}, (&shop[Tx]{db: db}).service(), listener(got))
	if _, err := c.Call(t.Context(), "orders", "place", []any{"large", false}, nil); !errors.Is(err, enoki.InvalidArgument) {
		t.Errorf("an event that no broker takes: got error %v, want invalid_argument", err)
	}
	if _, err := c.Call(t.Context(), "orders", "place", []any{"small", false}, nil); err != nil {
		t.Fatal(err)
	}
	if name := next(t, got); name != "small" {
		t.Errorf("order %q came, want small", name)
	}
	wrote(t, db, "small")
}

func unreadableTold[Tx any](t *testing.T, db Database[Tx]) {
	put(t, db, outbox.Record{Source: "orders", Event: "placed", Message: []byte("junk")},
		outbox.Record{Source: "orders", Event: "placed", Message: []byte(`{"id":"x","body":"eyJuYW1lIjoibGFyZ2UifQ=="}`)},
		outbox.Record{Source: "orders", Event: "placed", Message: []byte(`{"id":"y","body":"eyJuYW1lIjoibGVmdCJ9"}`)})
	got, letters := make(chan order, 1), make(chan broker.DeadLetter, 8)
	startOn(t, &picky{memory.New(), "large"}, &enoki.Options{OnDeadLetter: func(l broker.DeadLetter) { letters <- l }},
		listener(got), (&shop[Tx]{db: db}).service())
	if name := next(t, got); name != "left" {
		t.Errorf("order %q came, want left", name)
	}
	for _, kind := range []string{broker.KindUnreadable, "invalid_argument"} {
		select {
		case l := <-letters:
			if l.Service != "orders" || l.Handler != "outbox" || l.Event != "placed" || l.Kind != kind {
				t.Errorf("told of %+v, want one of kind %s of the outbox of orders", l, kind)
			}
		case <-time.After(patience):
			t.Fatalf("nobody is told of the record of kind %s", kind)
		}
	}
	counted(t, db, 0, 2)
}

func oneRelay[Tx any](t *testing.T, db Database[Tx]) {
	put(t, db, outbox.Record{Source: "orders", Event: "a", Message: []byte("{}")})
	emitting, finish, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.Store.Relay(t.Context(), func(context.Context, outbox.Record) error {
			close(emitting)
			<-finish
			return nil
		})
	}()
	<-emitting
	err := db.Store.Relay(t.Context(), func(context.Context, outbox.Record) error {
		t.Error("a second relay emits what the first one has")
		return nil
	})
	close(finish)
	if err := errors.Join(err, <-ended); err != nil {
		t.Error(err)
	}
}

func leftBehind[Tx any](t *testing.T, db Database[Tx]) {
	put(t, db, outbox.Record{Source: "orders", Event: "placed", Message: []byte(`{"id":"x","body":"eyJuYW1lIjoibGVmdCJ9"}`)})
	got := make(chan order, 1)
	start(t, listener(got), (&shop[Tx]{db: db}).service())
	if name := next(t, got); name != "left" {
		t.Errorf("order %q came, want left", name)
	}
}

// handled runs a service whose handler writes, with the inbox, and returns what
// emits to it.
func handled[Tx any](t *testing.T, db Database[Tx], outcome func(attempt int) error) (emit func(id string), done <-chan string) {
	t.Helper()
	attempts := make(chan string, 16)
	handler := func(ctx context.Context, o order) error {
		tx, err := db.PerCall.Get(ctx)
		if err == nil {
			err = db.Write(ctx, tx, o.Name)
		}
		if err == nil {
			err = outcome(enoki.Attempt(ctx))
		}
		return err
	}
	// Outside the transaction, so that it is over when done has an item.
	watch := enoki.Use(func(next enoki.Handler) enoki.Handler {
		return func(ctx context.Context, c *enoki.Call) error {
			err := next(ctx, c)
			attempts <- enoki.MessageID(ctx)
			return err
		}
	})
	c := start(t, enoki.NewService("billing", watch, db.PerCall,
		enoki.Subscription[order]{Event: placed, Handle: handler, OnError: enoki.Retry{First: time.Millisecond, Last: time.Millisecond}, Once: db.Inbox}))
	return func(id string) {
		t.Helper()
		if err := c.Emit(t.Context(), "orders", "placed", order{id}, enoki.WithMessageID(id)); err != nil {
			t.Fatal(err)
		}
	}, attempts
}

func await(t *testing.T, done <-chan string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("no handler within %v", patience)
	}
}

func onceEach[Tx any](t *testing.T, db Database[Tx]) {
	emit, done := handled(t, db, func(int) error { return nil })
	for _, id := range []string{"1", "1", "2", "1"} {
		emit(id)
		await(t, done)
	}
	wrote(t, db, "1", "2")
}

func failureForgotten[Tx any](t *testing.T, db Database[Tx]) {
	emit, done := handled(t, db, func(attempt int) error {
		if attempt == 1 {
			return errors.New("on purpose")
		}
		return nil
	})
	emit("1")
	await(t, done)
	await(t, done)
	wrote(t, db, "1")
}

func onceAtOnce[Tx any](t *testing.T, db Database[Tx]) {
	const n = 8
	emit, done := handled(t, db, func(int) error { return nil })
	for range n {
		emit("1")
	}
	for range n {
		await(t, done)
	}
	wrote(t, db, "1")
}

// recorder is a broker that notes what is emitted.
type recorder struct {
	broker.Broker
	emitted chan emitted
}

type emitted struct {
	name    string
	message *broker.Message
}

func (r *recorder) Emit(_ context.Context, source, event string, m *broker.Message) error {
	r.emitted <- emitted{source + "." + event, m}
	return nil
}

// measured: what waits in the outbox is a gauge of its service.
func measured[Tx any](t *testing.T, db Database[Tx]) {
	put(t, db, outbox.Record{Source: "orders", Event: "placed", Message: []byte(`{"id":"x"}`)})
	gauges, err := (&shop[Tx]{db: db}).service().Measure(t.Context())
	got := map[string]float64{}
	for _, g := range gauges {
		got[g.Name+" of "+g.Labels["service"]] = g.Value
	}
	if err != nil || got["outbox_waiting of orders"] != 1 || got["outbox_dead of orders"] != 0 {
		t.Errorf("gauges are %v, %v; want one record that waits", got, err)
	}
}
