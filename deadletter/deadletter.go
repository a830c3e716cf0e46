// Package deadletter reads dead letters, which are the messages that no attempt
// could handle. It sends them back or forgets them. It sums up letters that
// failed alike in a [Group].
//
// The broker keeps the letters. Package enoki decides when a message becomes
// one.
package deadletter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/fault"
	"github.com/enoki-go/enoki/internal/trail"
)

// Filter picks dead letters. The zero value picks all.
type Filter struct {
	IDs    []string // ids of letters
	Groups []string // ids of groups; a letter is picked if either list names it, or if both are empty

	Service string // the service whose handler refused it
	Handler string
	Since   time.Time // died then or later
	Until   time.Time // died before
}

// picks reports whether f names l. The broker has applied the other fields of
// f.
func (f *Filter) picks(l *Letter) bool {
	return len(f.IDs) == 0 && len(f.Groups) == 0 || slices.Contains(f.IDs, l.ID) || slices.Contains(f.Groups, l.Group)
}

func (f *Filter) asked() broker.DeadLetterFilter {
	asked := broker.DeadLetterFilter{Service: f.Service, Handler: f.Handler, Since: f.Since, Until: f.Until}
	if len(f.Groups) == 0 {
		asked.IDs = f.IDs
	}
	return asked
}

// Letter is a dead letter inside a loop over All. It is valid until the loop
// goes on. It must not be used concurrently.
type Letter struct {
	broker.DeadLetter

	// Group is the same for letters that failed alike. They have the same handler
	// and kind, and their reasons differ only in numbers, ids and quoted text.
	Group string

	held   *broker.HeldLetter
	client *enoki.Client
}

// All yields the dead letters that f picks, oldest first. It yields those that
// exist when it begins. A letter stays where it is, unless the loop retries or
// discards it. On RabbitMQ only one loop runs on a broker at a time, and others
// wait until it ends. Do nothing slow in a loop, and do not begin a second loop
// inside it.
//
// An error comes last and without a letter, and has a code.
func All(ctx context.Context, c *enoki.Client, f Filter) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		b, err := c.Broker()
		if err != nil {
			yield(nil, err)
			return
		}
		for held, err := range b.DeadLetters(ctx, f.asked()) {
			if err != nil {
				yield(nil, coded(err, "read the dead letters"))
				return
			}
			l := &Letter{DeadLetter: held.DeadLetter, Group: groupOf(&held.DeadLetter), held: held, client: c}
			if f.picks(l) && !yield(l, nil) {
				return
			}
		}
	}
}

// Retry sends the message back to the handler that it came from, with the same
// id and context data. It blocks until the message is stored there and the
// letter is gone. The attempts begin anew. If the message dies again, the new
// letter counts how often it was retried. If Retry fails, the letter is still
// there. The error has the code NotFound if somebody else has retried or
// discarded the letter. It has the code NotDelivered if the handler's
// subscription is gone.
func (l *Letter) Retry(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	l.held.Message = l.Message
	return coded(l.held.Retry(ctx), "retry dead letter %s", l.ID)
}

// Discard forgets the letter. The error has the code NotFound if somebody else
// has retried or discarded it.
func (l *Letter) Discard(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	return coded(l.held.Discard(ctx), "discard dead letter %s", l.ID)
}

// JSON returns the body of the message as JSON. The error says why it can't be
// read as JSON.
func (l *Letter) JSON() (json.RawMessage, error) {
	body, err := l.client.ReadBody(l.Message)
	if err == nil && !json.Valid(body) {
		err = fmt.Errorf("the body is not JSON: %.100q", body)
	}
	return body, err
}

// SetJSON replaces the body of the message, which Retry then sends. It keeps
// the message's content type if the client knows it, and writes JSON otherwise.
func (l *Letter) SetJSON(body json.RawMessage) error {
	if !json.Valid(body) {
		return fault.Errorf(fault.InvalidArgument, "the new body of dead letter %s is not JSON", l.ID)
	}
	if err := l.client.WriteBody(l.Message, body); err != nil {
		return fault.Errorf(fault.InvalidArgument, "dead letter %s: %w", l.ID, err)
	}
	return nil
}

// CallStack returns the ids of the calls that led to the message, oldest first.
func (l *Letter) CallStack() []string { return trail.CallStack(l.Message) }

// timeout bounds Retry and Discard if their context has no deadline.
const timeout = 10 * time.Second

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// coded gives a broker's error its code and adds what was tried.
func coded(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.CodeOf(err), err, fmt.Sprintf(format, a...)+": "+err.Error())
}

// traceKey is the key under which W3C Trace Context puts its ids.
const traceKey = "traceparent"

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}`)

// TraceID returns the id of the trace that the message belongs to, or "". It
// comes from traceparent in the message's context data.
func (l *Letter) TraceID() string {
	text, _ := l.Message.Context[traceKey].(string)
	if found := traceparent.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// Group describes the dead letters that failed alike.
type Group struct {
	ID      string    `json:"id"` // the same over restarts, and on every broker
	Service string    `json:"service"`
	Handler string    `json:"handler"`
	Kind    string    `json:"kind"`
	Reason  string    `json:"reason"` // with # and … in place of what may differ
	Count   int       `json:"count"`
	First   time.Time `json:"first"` // when the first one died
	Last    time.Time `json:"last"`  // when the last one died
}

// Groups returns the groups of the dead letters that f picks. The group that
// got the latest letter is first.
func Groups(ctx context.Context, c *enoki.Client, f Filter) ([]Group, error) {
	groups := map[string]*Group{}
	for l, err := range All(ctx, c, f) {
		if err != nil {
			return nil, err
		}
		g := groups[l.Group]
		if g == nil {
			g = &Group{ID: l.Group, Service: l.Service, Handler: l.Handler, Kind: l.Kind,
				Reason: pattern(l.Reason), First: l.Died, Last: l.Died}
			groups[l.Group] = g
		}
		g.Count++
		if l.Died.Before(g.First) {
			g.First = l.Died
		}
		if l.Died.After(g.Last) {
			g.Last = l.Died
		}
	}
	list := make([]Group, 0, len(groups))
	for _, g := range groups {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(b.Last.Compare(a.Last), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

// groupOf returns the id of a letter's group. It is short and begins with a
// character that no letter's id begins with.
func groupOf(l *broker.DeadLetter) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{l.Service, l.Handler, l.Kind, pattern(l.Reason)}, "\x00")))
	return "g" + hex.EncodeToString(sum[:4])
}

// What may differ in the reasons of one group.
var (
	quoted  = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")
	ticked  = regexp.MustCompile(`(^|[\s(\[{:=,])'[^']*'`) // an apostrophe inside a word is no quote
	uuids   = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	numbers = regexp.MustCompile(`[\pL\pN_]*\pN[\pL\pN_]*(?:[.:+/-]+[\pL\pN_]*\pN[\pL\pN_]*)*`)
)

// maxPattern is how many bytes of a reason tell groups apart. The rest is
// ignored, because drivers keep reasons of different lengths.
const maxPattern = 500

// pattern returns a reason without the parts that differ from letter to letter.
func pattern(reason string) string {
	reason = strings.Join(strings.Fields(reason[:min(len(reason), maxPattern)]), " ")
	reason = strings.ToValidUTF8(reason, "")
	reason = quoted.ReplaceAllString(reason, `"…"`)
	reason = ticked.ReplaceAllString(reason, `$1'…'`)
	reason = uuids.ReplaceAllString(reason, "#")
	return numbers.ReplaceAllString(reason, "#")
}
