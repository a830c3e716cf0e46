package nameko

import (
	"maps"
	"time"
)

// PublishOption says how something is published: for every message as an
// option of Publishes, or for one as an option of the call, which goes first.
// They mean what Nameko's mean.
type PublishOption func(*outgoing)

// RoutingKey is what the exchange looks at. Default: empty.
func RoutingKey(key string) PublishOption { return func(o *outgoing) { o.RoutingKey = key } }

// Declare makes sure that further exchanges and queues exist before anything
// is published, such as a queue for what nobody reads yet.
func Declare(all ...Declaration) PublishOption {
	return func(o *outgoing) { o.Declare = append(o.Declare[:len(o.Declare):len(o.Declare)], all...) }
}

// Persistent says whether messages outlive the broker's own restart, in queues
// that do: Nameko's delivery_mode 2 or 1. Default: true.
func Persistent(yes bool) PublishOption { return func(o *outgoing) { o.Transient = !yes } }

// Mandatory makes a message that no queue takes an error, NotDelivered,
// instead of dropping it. Default: false.
func Mandatory(yes bool) PublishOption { return func(o *outgoing) { o.Mandatory = yes } }

// Priority is for queues that are declared with x-max-priority. Default: 0.
func Priority(n uint8) PublishOption { return func(o *outgoing) { o.Priority = n } }

// Expiration is how long a message may wait in a queue. Nameko takes seconds,
// whatever its documentation says. Default: 0, without an end.
func Expiration(d time.Duration) PublishOption { return func(o *outgoing) { o.Expiration = d } }

// Compression compresses the body. The name is kombu's, gzip or zlib, both of
// which mean a zlib stream; empty is none. Default: none.
func Compression(name string) PublishOption { return func(o *outgoing) { o.Compression = name } }

// Header sets a header. Its value is of the types that [broker.Message] lists
// for context data. Headers of Publishes and of a call add up; those of the
// context data go before both.
func Header(name string, value any) PublishOption {
	return func(o *outgoing) {
		o.Headers = maps.Clone(o.Headers)
		if o.Headers == nil {
			o.Headers = map[string]any{}
		}
		o.Headers[name] = value
	}
}

// Confirms says whether a Publisher waits for the broker's word that it has
// the message. Without it, one that is lost on the way is lost without an
// error, and Mandatory has no effect: Nameko's use_confirms. Default: true.
func Confirms(yes bool) PublishOption { return func(o *outgoing) { o.Unconfirmed = !yes } }

// ContentType sends a payload of type string or []byte as it is, under this
// media type. Nameko reads application/data as bytes and application/text as
// text without being told to accept them. Default: none; a []byte is
// application/data.
func ContentType(media string) PublishOption { return func(o *outgoing) { o.contentType = media } }

// CorrelationID marks what belongs together. Default: none.
func CorrelationID(id string) PublishOption { return func(o *outgoing) { o.CorrelationID = id } }

// ReplyTo says where the answer is wanted. Default: none.
func ReplyTo(key string) PublishOption { return func(o *outgoing) { o.ReplyTo = key } }

// ConsumeOption changes an entrypoint made by Consume.
type ConsumeOption func(*settings)

// settings are those of a Consume.
type settings struct {
	name     string
	prefetch int
	requeue  bool
}

// RequeueOnError has a message whose handler fails or panics delivered again
// at once, without limit: Nameko's requeue_on_error=True. On a quorum queue
// its delivery limit counts. Default: it is logged and dropped, as there.
func RequeueOnError() ConsumeOption { return func(s *settings) { s.requeue = true } }

// Prefetch is how many messages are taken before the first of them is settled.
// How many handlers run at once is bounded by the service's workers too.
// Default: 10.
func Prefetch(n int) ConsumeOption { return func(s *settings) { s.prefetch = n } }

// Named gives the handler a name for call ids, logs and metrics. Default: the
// name of the queue.
func Named(handler string) ConsumeOption { return func(s *settings) { s.name = handler } }
