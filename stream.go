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

// A stream of results stays on the instance that has opened it. The reader
// calls that instance to pull one chunk after another:
//
//	enoki-open-METHOD (the method's arguments)     {"stream": id, "instance": id}
//	enoki-pull        (stream, number, wait in ms) {"items": [..], "end": bool, "error": null or as in a reply}
//	enoki-keep        (stream)                     null; the reader is still busy with its chunk
//	enoki-close       (stream)                     null
//
// Chunks are numbered from 1. Pulling the same number again returns the same
// chunk, so a pull whose reply was lost can be repeated.
const (
	streamPrefix = "enoki-" // no user's method has a '-' in its name
	openPrefix   = "open-"
	pullOp       = "pull"
	keepOp       = "keep"
	closeOp      = "close"
)

const (
	// A chunk has at most chunkItems items and about chunkBytes bytes. The producer
	// is at most one chunk ahead of the reader, which bounds its memory.
	chunkItems = 256
	chunkBytes = 64 << 10

	// pullWait is the longest time that a pull waits for an item. It then returns
	// an empty chunk, which shows the reader that the instance is alive.
	pullWait = 2 * time.Second

	// A busy reader sends a keep every keepAlive. A reader that sends nothing for
	// readerLost counts as gone.
	keepAlive  = 5 * time.Second
	readerLost = 15 * time.Second
)

// streams are the open streams of an instance.
type streams struct {
	instance *instance

	mu    sync.Mutex // guards the fields below
	known map[string]*stream
	open  int           // streams that still produce, or whose end is not yet read
	empty chan struct{} // closed when no stream is open; made by drain
}

func newStreams(i *instance) *streams {
	return &streams{instance: i, known: map[string]*stream{}}
}

// streamHandle identifies a stream for its reader.
type streamHandle struct {
	Stream   string `json:"stream"`
	Instance string `json:"instance"`
}

// serve does what a reader asks for.
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

// begin calls a method that returns a stream, and starts to read the stream.
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
			return nil // not started: another instance gets it
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
	handle, _ := json.Marshal(streamHandle{st.id, i.id}) // strings always marshal
	return answer(form, fmt.Appendf(nil, `{"result":%s,"error":null}`, handle))
}

// start calls the handler. Its context lives as long as the stream. ctx cancels
// it only until the handler has returned.
func (s *streams) start(ctx context.Context, st *stream, handle Handler, in *incoming) error {
	c := &in.call
	stop := context.AfterFunc(ctx, st.cancel)
	begun := false
	defer func() {
		if !begun { // also true when the handler has ended its goroutine
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

// add makes a stream. It ends when the time left is over, if there is a limit.
// An instance has at most as many open streams as workers.
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

// count notes that st produces no more, or that its reader has read the end or
// is gone. After both, the stream no longer counts as open.
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

// forget stops st and removes it, so that readers no longer find it.
func (s *streams) forget(st *stream) {
	st.cancel()
	st.lost.Stop()
	s.count(st, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, st.id)
}

// drain waits until no stream is open. If ctx ends first, it stops the streams.
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

// run reads the handler's stream into st until its end.
func (s *streams) run(st *stream, c *Call) {
	produce := recovered(s.instance.log, s.instance.errors, func(context.Context, *Call) error { return s.produce(st, c.out[0]) })
	err := apart(func() error { return produce(st.ctx, c) })
	if err != nil && st.ctx.Err() == nil {
		s.instance.logFailure(st.ctx, c, err)
	}
	st.finish(s.instance.errors, s.instance.cutOff(c, err))
	s.count(st, true)
}

// produce puts the items of seq into st. The first error ends the stream.
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

// operate runs one operation on an open stream. It returns the result as JSON.
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

// stream is one stream between its producer and its reader.
type stream struct {
	id     string
	ctx    context.Context
	cancel context.CancelFunc
	lost   *time.Timer // forgets the stream if the reader is silent for readerLost

	produced, read bool // see streams.count; guarded by its mu

	mu      sync.Mutex    // guards the fields below
	next    []byte        // the items of the next chunk, separated by commas
	items   int           // how many items are in next
	ended   bool          // no more items will come
	failure *Error        // the error that ended the stream
	number  int64         // the number of the last chunk given
	given   []byte        // that chunk
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// put adds an item. It blocks while the next chunk is full. It returns false if
// the stream was stopped.
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

// finish notes that no more items come, and the error that is the reason.
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
// item until ctx ends, but no longer than wait.
func (st *stream) pull(ctx context.Context, number int64, wait time.Duration) (chunk []byte, last bool, refused *Error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	st.mu.Lock()
	defer st.mu.Unlock()
	switch number {
	case st.number: // the same chunk again
		return st.given, false, nil
	case st.number + 1:
	default:
		return nil, false, Errorf(MalformedRequest, "chunk %d of a stream is asked for after chunk %d", number, st.number)
	}
	st.await(ctx, func() bool { return st.items > 0 || st.ended })
	if st.number == number { // the same request was delivered twice, and the other one was faster
		return st.given, false, nil
	}
	st.number, st.given = number, st.chunk()
	st.next, st.items = nil, 0
	st.tell()
	return st.given, st.ended, nil
}

// chunk encodes the items at hand. mu must be held.
func (st *stream) chunk() []byte {
	b := append(make([]byte, 0, len(st.next)+64), `{"items":[`...)
	b = append(append(b, st.next...), `],"end":`...)
	b = strconv.AppendBool(b, st.ended)
	if st.failure == nil {
		return append(b, `,"error":null}`...)
	}
	failure, _ := json.Marshal(fault.ExceptionOf(st.failure)) // strings always marshal
	return append(append(append(b, `,"error":`...), failure...), '}')
}

// tell wakes everything that waits for a change. mu must be held.
func (st *stream) tell() {
	if st.changed != nil {
		close(st.changed)
		st.changed = nil
	}
}

// await waits until ready returns true. It returns false if ctx ends first. mu
// must be held; await releases it while it waits.
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
