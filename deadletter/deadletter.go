// Package deadletter reads the messages that no attempt could handle, sends them
// back, and forgets them. Letters that failed alike are one [Group].
//
// The broker keeps them; how one becomes a dead letter is for package enoki.
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
	IDs    []string // of letters, and of groups: one that either names is picked;
	Groups []string // without any, all are

	Service string // whose handler refused it
	Handler string
	Since   time.Time // died then or later
	Until   time.Time // died before
}

// picks tells whether f, whose other fields the broker has applied, names l.
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

// Letter is a message that could not be handled, in the hand of who loops
// over All.
type Letter struct {
	broker.DeadLetter

	// Group is the same for letters that failed alike: those of one handler
	// and of one kind, whose reasons differ at most in numbers, ids and what
	// stands in quotes.
	Group string

	held   *broker.HeldLetter
	client *enoki.Client
}

// All yields the dead letters that f picks and that are there when it
// begins, oldest first. They stay where they are unless they are retried or
// discarded in the loop. On RabbitMQ one loop at a time runs on a broker, and
// others wait for its end, so do nothing slow in it, nor a second one.
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
// id and context data, and returns once it is stored there and the letter is
// gone. Its attempts start anew; if it dies again, the new letter counts its
// revivals. Nothing is lost when Retry fails: the letter is still there. The
// error has the code NotFound when somebody else has retried or discarded the
// letter, and NotDelivered when the handler's subscription is gone.
func (l *Letter) Retry(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	l.held.Message = l.Message
	return coded(l.held.Retry(ctx), "retry dead letter %s", l.ID)
}

// Discard forgets the letter. The error has the code NotFound when somebody
// else has retried or discarded it.
func (l *Letter) Discard(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	return coded(l.held.Discard(ctx), "discard dead letter %s", l.ID)
}

// JSON returns the body of the message. The error says why it is no JSON.
func (l *Letter) JSON() (json.RawMessage, error) {
	body, err := l.client.ReadBody(l.Message)
	if err == nil && !json.Valid(body) {
		err = fmt.Errorf("the body is not JSON: %.100q", body)
	}
	return body, err
}

// SetJSON gives the message another body, in its own form if the client knows
// that one, and otherwise as JSON. Retry then sends it.
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

// timeout is how long Retry and Discard take when their context has no
// deadline.
const timeout = 10 * time.Second

func withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// coded gives an error of the broker its code and says what was tried.
func coded(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.CodeOf(err), err, fmt.Sprintf(format, a...)+": "+err.Error())
}

// traceKey is where W3C Trace Context has its ids.
const traceKey = "traceparent"

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}`)

// TraceID returns the id of the trace that the message belongs to, as the
// traceparent in its context data says, or "".
func (l *Letter) TraceID() string {
	text, _ := l.Message.Context[traceKey].(string)
	if found := traceparent.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

// Group are the dead letters that failed alike.
type Group struct {
	ID      string    `json:"id"` // stays the same over restarts, and on every broker
	Service string    `json:"service"`
	Handler string    `json:"handler"`
	Kind    string    `json:"kind"`
	Reason  string    `json:"reason"` // with # and … for what may differ
	Count   int       `json:"count"`
	First   time.Time `json:"first"` // when the first one died
	Last    time.Time `json:"last"`  // when the last one died
}

// Groups returns the groups of the dead letters that f picks, the
// one that grew last first.
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

// groupOf returns the id of a letter's group: short, and begun by a letter
// that tells it from the id of a letter.
func groupOf(l *broker.DeadLetter) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{l.Service, l.Handler, l.Kind, pattern(l.Reason)}, "\x00")))
	return "g" + hex.EncodeToString(sum[:4])
}

// What may differ in the reasons of one group.
var (
	quoted  = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`")
	ticked  = regexp.MustCompile(`(^|[\s(\[{:=,])'[^']*'`) // but no apostrophes
	uuids   = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	numbers = regexp.MustCompile(`[\pL\pN_]*\pN[\pL\pN_]*(?:[.:+/-]+[\pL\pN_]*\pN[\pL\pN_]*)*`)
)

// maxPattern is how much of a reason tells groups apart, in bytes: drivers keep
// different lengths.
const maxPattern = 500

// pattern returns a reason without what differs from letter to letter.
func pattern(reason string) string {
	reason = strings.Join(strings.Fields(reason[:min(len(reason), maxPattern)]), " ")
	reason = strings.ToValidUTF8(reason, "")
	reason = quoted.ReplaceAllString(reason, `"…"`)
	reason = ticked.ReplaceAllString(reason, `$1'…'`)
	reason = uuids.ReplaceAllString(reason, "#")
	return numbers.ReplaceAllString(reason, "#")
}
