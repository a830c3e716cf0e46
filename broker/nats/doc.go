// Package nats is the driver for NATS: calls over core NATS, events over
// JetStream. It makes Enoki's services visible to the nats tool and leaves
// running a server to others; package embedded has one for this process.
//
// # Calls
//
// A request goes to the subject enoki.rpc.SERVICE.METHOD. Each instance
// subscribes to enoki.rpc.SERVICE.* in the queue group "enoki", so one of them
// gets it. When the caller's context ends first, the reply subject of the
// request is published to enoki.cancel.SERVICE, where every instance listens.
// Requests that find all workers busy wait in the client's buffer, up to
// 65,536 of them or 64 MiB; what comes then is lost, counted and logged.
//
// While some wait, the instance says so on enoki.spare.SERVICE, at most every
// 10 ms and at least every second. An instance with free workers, then or
// within a second, answers on enoki.spare.SERVICE.ID with its own id and their
// number, and gets as many of the requests on enoki.spare.SERVICE.ITS_ID.METHOD.
//
// # Events
//
// Each source has a stream, ENOKI_EVENTS_SOURCE, which is made by the first who
// subscribes to it. It keeps enoki.events.SOURCE.EVENT until every consumer that
// wants an event has acknowledged it, and refuses new ones when it is full: so
// the backlog of one source takes no room from another. A Pool is a durable
// consumer evt+SOURCE+EVENT+SERVICE+HANDLER, a Singleton evt+SOURCE+EVENT, a
// Broadcast one consumer for each instance or broadcast id,
// evt+SOURCE+EVENT+SERVICE+HANDLER+ID. One that does not last is removed by its
// last instance, or by the server five minutes after that has died. The plus
// sign keeps "a-b","c" and "a","b-c" apart, which names with '-' alone would not.
//
// A subscription that lasts exists until its consumer is removed: when no release of
// a service subscribes any more, remove it (nats consumer rm
// ENOKI_EVENTS_SOURCE NAME), or its events fill the stream.
//
// Where the stream ENOKI_EVENTS of an earlier version is there, it keeps the
// events of all sources instead, so that instances of both versions work
// together, until Driver.Part parts it.
//
// Rejected events go to the stream ENOKI_DEAD (enoki.dead.SERVICE.HANDLER.ID),
// which keeps them until somebody retries, discards or purges them and refuses
// more when it is full: then the event stays in its queue and comes again. The
// header Enoki-Dead says why as JSON. One that is retried is an event again,
// with that header, which names the one consumer that it is for; the others
// acknowledge it at once. Attempts that were
// settled with Retry are counted in ENOKI_ATTEMPTS
// (enoki.attempts.CONSUMER.SEQUENCE), because the server's own count also
// rises for events that were handed back or were with an instance that died.
//
// # Messages
//
// A body is the payload as it is. The header Enoki-Id has the message's id,
// Enoki-Context the context data as JSON and Content-Type its media type. In
// that JSON a number with a point or an exponent is a float64, any other an
// int64; {"$time":"…"} is a time in RFC 3339, {"$float":"NaN"} a float that
// JSON has no number for, and {"$map":{…}} a map that has such a key itself.
// In names, bytes other than letters, digits, '_' and '-' are written %XX.
//
// # Frames
//
// Between a caller and a service that are both Enoki's, calls and replies go
// as frames: the byte 0xC1, then id, content type and context data, each after
// its length as a uvarint, then the body, and no headers. The header
// Enoki-Frame in a request asks for a frame as the reply, and a caller that
// has got one sends frames to that service from then on, until a reply is
// something else. So whoever calls without that header gets a body as it is,
// and a service written without Enoki that listens on enoki.rpc.SERVICE.METHOD
// gets headers and a body.
//
// # Discovery
//
// Every instance answers the NATS micro protocol ($SRV.PING, $SRV.INFO and
// $SRV.STATS), with its broker.Instance as JSON in the metadata "enoki".
package nats
