package enoki

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/entrypoint"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/contract"
	"github.com/enoki-go/enoki/internal/uuid"
)

// A stream of results stays on the instance that has opened it. Its reader
// pulls one chunk after the other from there, by calls to that instance:
//
//	enoki-open-METHOD (the method's arguments)     {"stream": id, "instance": id}
//	enoki-pull        (stream, number, wait in ms) {"items": [..], "end": bool, "error": null or as in a reply}
//	enoki-keep        (stream)                     contract.Null; the reader is busy with what it has
//	enoki-close       (stream)                     null
//
// Chunks have numbers from 1. The same number pulled twice is the same chunk,
// so that a pull whose reply was lost can be repeated.
const (
	streamPrefix = "enoki-" // no method of a user has a '-' in its name
	openPrefix   = "open-"
	pullOp       = "pull"
	keepOp       = "keep"
	closeOp      = "close"
)

const (
	// A chunk has at most so many items and about so many bytes. The producer
	// is one chunk ahead of the reader, so this bounds its memory.
	chunkItems = 256
	chunkBytes = 64 << 10

	// pullWait is how long a pull waits for an item at most; then it returns
	// empty, which shows its reader that the instance is alive.
	pullWait = 2 * time.Second

	// A reader that is busy says so every keepAlive. One that says nothing for
	// readerLost is gone.
	keepAlive  = 5 * time.Second
	readerLost = 15 * time.Second
)

// streams are those that an instance has open.
type streams struct {
	instance *instance

	mu    sync.Mutex // guards what follows
	known map[string]*stream
	open  int           // that produce, or whose end nobody has fetched
	empty chan struct{} // closed when none is open; made by drain
}

func newStreams(i *instance) *streams {
	return &streams{instance: i, known: map[string]*stream{}}
}

// streamHandle is how a reader finds its stream.
type streamHandle struct {
	Stream   string `json:"stream"`
	Instance string `json:"instance"`
}

// serve does what a reader asks.
func (s *streams) serve(ctx context.Context, operation string, req *broker.Message) *broker.Message {
	body, form, err := s.instance.forms.open(req)
	if err != nil {
		return s.instance.refuse(ctx, operation, nil, malformed(err))
	}
	if method, ok := strings.CutPrefix(operation, openPrefix); ok {
		return s.begin(ctx, method, req, body, form)
	}
	result, failed := s.operate(ctx, operation, form.plain(body))
	if failed != nil {
		return answer(form, contract.EncodeFailure(failed))
	}
	return answer(form, fmt.Appendf(nil, `{"result":%s,"error":null}`, result))
}

// begin runs a method that returns a stream, and starts to read it.
func (s *streams) begin(ctx context.Context, name string, req *broker.Message, body []byte, form *Serializer) *broker.Message {
	i := s.instance
	in := receive(req, entrypoint.RPC, i.service.name, name)
	m, refused := i.read(in, body, form)
	if refused == nil && m.Item == nil {
		refused = Errorf(IncorrectSignature, "%s() does not return a stream of results here; bring both sides to the same contract", name)
	}
	if refused != nil {
		return i.refuse(ctx, name, form, refused)
	}
	if !i.acquire(ctx) {
		if ctx.Err() == nil {
			return nil // not started: for another instance
		}
		return i.unstarted(ctx, name, form, req)
	}
	defer i.release()
	st, err := s.add(in.left)
	if err == nil {
		err = s.start(ctx, st, m.handle, in)
	}
	if err != nil {
		return answer(form, i.outcome(ctx, &in.call, err))
	}
	handle, _ := json.Marshal(streamHandle{st.id, i.id}) // of texts, which can be marshalled
	return answer(form, fmt.Appendf(nil, `{"result":%s,"error":null}`, handle))
}

// start calls the handler, whose context goes on with the stream, and ends with
// ctx only until it has returned.
func (s *streams) start(ctx context.Context, st *stream, handle Handler, in *incoming) error {
	c := &in.call
	stop := context.AfterFunc(ctx, st.cancel)
	begun := false
	defer func() {
		if !begun { // also when the handler has ended its goroutine
			s.count(st, true)
			s.forget(st)
		}
	}()
	err := handle(in.enter(st.ctx, s.instance.process.options.CallsTracked), c)
	stop()
	if err == nil && c.out[0].IsNil() {
		err = Errorf(Internal, "%s() returned neither a stream nor an error", c.Method)
	}
	if err != nil {
		return err
	}
	begun = true
	go s.run(st, c)
	return nil
}

// add makes a stream that ends after the time that is left, if any. There are
// at most as many as the instance has workers.
func (s *streams) add(left time.Duration) (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most := s.instance.process.options.Workers; s.open >= most {
		return nil, Errorf(ResourceExhausted, "%d streams are open, as many as there are workers; read them to their end, or raise workers", most)
	}
	st := &stream{id: uuid.New()}
	if left > 0 {
		st.ctx, st.cancel = context.WithTimeout(s.instance.life, left)
	} else {
		st.ctx, st.cancel = context.WithCancel(s.instance.life)
	}
	st.lost = time.AfterFunc(readerLost, func() { s.forget(st) })
	s.known[st.id] = st
	s.open++
	return st, nil
}

// count says that st produces nothing any more, or that nobody will read it
// any more. After both it is not open.
func (s *streams) count(st *stream, produced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.produced && st.read {
		return
	}
	if produced {
		st.produced = true
	} else {
		st.read = true
	}
	if !st.produced || !st.read {
		return
	}
	s.open--
	if s.open == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

// forget stops st and lets no reader find it any more.
func (s *streams) forget(st *stream) {
	st.cancel()
	st.lost.Stop()
	s.count(st, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, st.id)
}

// drain returns when no stream is open any more. When ctx ends first, they are
// stopped.
func (s *streams) drain(ctx context.Context) {
	empty := make(chan struct{})
	s.mu.Lock()
	if s.open == 0 {
		close(empty)
	} else {
		s.empty = empty
	}
	s.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	s.mu.Lock()
	left := slices.Collect(maps.Values(s.known))
	s.mu.Unlock()
	for _, st := range left {
		s.forget(st)
	}
}

// run reads what a handler has returned into st until its end.
func (s *streams) run(st *stream, c *Call) {
	produce := recovered(s.instance.log, s.instance.errors, func(context.Context, *Call) error { return s.produce(st, c.out[0]) })
	err := apart(func() error { return produce(st.ctx, c) })
	if err != nil && st.ctx.Err() == nil {
		s.instance.logFailure(st.ctx, c, err)
	}
	st.finish(s.instance.errors, s.instance.cutOff(c, err))
	s.count(st, true)
}

// produce puts the items of a stream into st. The first error ends it.
func (s *streams) produce(st *stream, seq reflect.Value) error {
	for item, failed := range seq.Seq2() {
		if !failed.IsNil() {
			err := failed.Interface().(error)
			s.instance.errors.Probe(err)
			return err
		}
		data, err := contract.Marshal(item.Interface())
		if err != nil {
			logPanic(st.ctx, s.instance.log, "item of a stream", err)
			return unserializable(err)
		}
		if !st.put(data) {
			break
		}
	}
	return st.ctx.Err()
}

// operate does what the reader of an open stream asks, and returns JSON.
func (s *streams) operate(ctx context.Context, operation string, body []byte) ([]byte, *Error) {
	var request struct {
		Args []json.RawMessage `json:"args"`
	}
	var id string
	var number, wait int64
	err := json.Unmarshal(body, &request)
	for n, target := range []any{&id, &number, &wait} {
		if err == nil && n < len(request.Args) {
			err = json.Unmarshal(request.Args[n], target)
		}
	}
	if err != nil {
		return nil, Errorf(MalformedRequest, "%s%s: %v", streamPrefix, operation, err)
	}
	s.mu.Lock()
	st := s.known[id]
	s.mu.Unlock()
	switch {
	case operation == closeOp:
		if st != nil {
			s.forget(st)
		}
		return contract.Null, nil
	case operation != pullOp && operation != keepOp:
		return nil, &Error{Code: MethodNotFound, Message: streamPrefix + operation}
	case st == nil:
		return nil, Errorf(Unavailable, "the stream is not open any more: its reader was not heard of for %v, or the instance has stopped", readerLost)
	}
	st.lost.Reset(readerLost)
	if operation == keepOp {
		return contract.Null, nil
	}
	chunk, last, failed := st.pull(ctx, number, min(time.Duration(wait)*time.Millisecond, pullWait))
	if last {
		s.count(st, false)
	}
	return chunk, failed
}

// stream is one stream on its way from its producer to its reader.
type stream struct {
	id     string
	ctx    context.Context
	cancel context.CancelFunc
	lost   *time.Timer // forgets it unless its reader is heard of

	produced, read bool // see streams.count; guarded by its mu

	mu      sync.Mutex    // guards what follows
	next    []byte        // items to be given, between commas
	items   int           // in next
	ended   bool          // there will be no more
	failure *Error        // that it has ended with
	number  int64         // of the chunk given last
	given   []byte        // that chunk
	changed chan struct{} // closed when any of it changes; nil while nobody waits
}

// put adds an item, waiting while the next chunk is full, and returns false
// when nobody wants it any more.
func (st *stream) put(data []byte) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if !st.await(st.ctx, func() bool { return st.items < chunkItems && len(st.next) < chunkBytes }) {
		return false
	}
	if st.items > 0 {
		st.next = append(st.next, ',')
	}
	st.next = append(st.next, data...)
	st.items++
	st.tell()
	return true
}

// finish says that there will be no more items, and why.
func (st *stream) finish(known fault.Types, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.ended = true
	if err != nil {
		st.failure = known.Failure(err)
	}
	st.tell()
}

// pull returns a chunk as JSON, and whether it is the last one. It waits for an
// item until ctx ends, and not longer than wait.
func (st *stream) pull(ctx context.Context, number int64, wait time.Duration) (chunk []byte, last bool, refused *Error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	st.mu.Lock()
	defer st.mu.Unlock()
	switch number {
	case st.number: // once more
		return st.given, false, nil
	case st.number + 1:
	default:
		return nil, false, Errorf(MalformedRequest, "chunk %d of a stream is asked for after chunk %d", number, st.number)
	}
	st.await(ctx, func() bool { return st.items > 0 || st.ended })
	if st.number == number { // pulled by a second delivery of the same request
		return st.given, false, nil
	}
	st.number, st.given = number, st.chunk()
	st.next, st.items = nil, 0
	st.tell()
	return st.given, st.ended, nil
}

// chunk encodes what is there. It wants mu held.
func (st *stream) chunk() []byte {
	b := append(make([]byte, 0, len(st.next)+64), `{"items":[`...)
	b = append(append(b, st.next...), `],"end":`...)
	b = strconv.AppendBool(b, st.ended)
	if st.failure == nil {
		return append(b, `,"error":null}`...)
	}
	failure, _ := json.Marshal(fault.ExceptionOf(st.failure)) // of texts, which can be marshalled
	return append(append(append(b, `,"error":`...), failure...), '}')
}

// tell wakes who awaits a change. It wants mu held.
func (st *stream) tell() {
	if st.changed != nil {
		close(st.changed)
		st.changed = nil
	}
}

// await waits until ready returns true, and returns false when ctx ends
// before. It wants mu held, and releases it while it waits.
func (st *stream) await(ctx context.Context, ready func() bool) bool {
	for !ready() {
		if st.changed == nil {
			st.changed = make(chan struct{})
		}
		changed := st.changed
		st.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		st.mu.Lock()
		if ctx.Err() != nil {
			return ready()
		}
	}
	return true
}
