package nameko

import (
	"maps"
	"time"
)

// PublishOption is an option of Publishes, for every message, or of one call of
// a Publisher. The option of a call overrides that of Publishes. The options
// mean the same as Nameko's.
type PublishOption func(*outgoing)

// RoutingKey sets the routing key of the message. Default: empty.
func RoutingKey(key string) PublishOption { return func(o *outgoing) { o.RoutingKey = key } }

// Declare declares further exchanges and queues before anything is published,
// such as a queue for messages that nobody reads yet. Default: none.
func Declare(all ...Declaration) PublishOption {
	return func(o *outgoing) { o.Declare = append(o.Declare[:len(o.Declare):len(o.Declare)], all...) }
}

// Persistent says whether messages survive a restart of the broker, in queues
// that survive it too. It is Nameko's delivery_mode 2 or 1. Default: true.
func Persistent(yes bool) PublishOption { return func(o *outgoing) { o.Transient = !yes } }

// Mandatory makes it an error, NotDelivered, if no queue takes the message.
// Without it, such a message is dropped. Default: false.
func Mandatory(yes bool) PublishOption { return func(o *outgoing) { o.Mandatory = yes } }

// Priority sets the message's priority, for queues that are declared with
// x-max-priority. Default: 0.
func Priority(n uint8) PublishOption { return func(o *outgoing) { o.Priority = n } }

// Expiration is how long a message may wait in a queue. Nameko's option takes
// seconds, whatever its documentation says. Default: 0, which means without
// limit.
func Expiration(d time.Duration) PublishOption { return func(o *outgoing) { o.Expiration = d } }

// Compression compresses the body. The name is kombu's: gzip or zlib, which
// both mean a zlib stream. An empty name means none. Default: none.
func Compression(name string) PublishOption { return func(o *outgoing) { o.Compression = name } }

// Header sets a header. [broker.Message] lists the types that a value may have.
// The headers of Publishes and of a call are combined. The headers of the
// context data override both.
func Header(name string, value any) PublishOption {
	return func(o *outgoing) {
		o.Headers = maps.Clone(o.Headers)
		if o.Headers == nil {
			o.Headers = map[string]any{}
		}
		o.Headers[name] = value
	}
}

// Confirms says whether a Publisher waits until the broker has confirmed the
// message. Without it, a message may be lost without an error, and Mandatory
// has no effect. It is Nameko's use_confirms. Default: true.
func Confirms(yes bool) PublishOption { return func(o *outgoing) { o.Unconfirmed = !yes } }

// ContentType sends a payload of type string or []byte as it is, with this
// media type. Nameko reads application/data as bytes and application/text as
// text without being told to accept them. Default: none; a []byte is
// application/data.
func ContentType(media string) PublishOption { return func(o *outgoing) { o.contentType = media } }

// CorrelationID marks messages that belong together. Default: none.
func CorrelationID(id string) PublishOption { return func(o *outgoing) { o.CorrelationID = id } }

// ReplyTo says where the reply should go. Default: none.
func ReplyTo(key string) PublishOption { return func(o *outgoing) { o.ReplyTo = key } }

// ConsumeOption is an option of Consume.
type ConsumeOption func(*settings)

// settings are the options of one Consume.
type settings struct {
	name     string
	prefetch int
	requeue  bool
}

// RequeueOnError delivers a message again at once when its handler fails or
// panics, without limit. It is Nameko's requeue_on_error=True. On a quorum
// queue, the queue's delivery limit applies. Default: the message is logged and
// dropped, as in Nameko.
func RequeueOnError() ConsumeOption { return func(s *settings) { s.requeue = true } }

// Prefetch is how many messages the consumer takes before the first of them is
// settled. The service's workers also bound how many handlers run at once.
// Default: 10.
func Prefetch(n int) ConsumeOption { return func(s *settings) { s.prefetch = n } }

// Named gives the handler a name for call ids, logs and metrics. Default: the
// name of the queue.
func Named(handler string) ConsumeOption { return func(s *settings) { s.name = handler } }
