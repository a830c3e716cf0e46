// Package nats is the driver for NATS. Calls use core NATS, events use
// JetStream. Services of Enoki are visible to the nats tool. The package does
// not run a server; package embedded runs one inside this process.
//
// # Calls
//
// A request goes to the subject enoki.rpc.SERVICE.METHOD. Each instance
// subscribes to enoki.rpc.SERVICE.* in the queue group "enoki", so one of them
// gets it. If the caller's context ends first, the reply subject of the request
// is published to enoki.cancel.SERVICE, where every instance listens. Requests
// that find all workers busy wait in the client's buffer, up to 65,536 requests
// or 64 MiB. Further requests are lost, counted and logged.
//
// While requests wait, the instance says so on enoki.spare.SERVICE, at most
// every 10 ms and at least every second. An instance with free workers, at that
// time or within a second, answers on enoki.spare.SERVICE.ID with its own id
// and the number of free workers. It then gets that many of the requests on
// enoki.spare.SERVICE.ITS_ID.METHOD.
//
// # Events
//
// Each source has a stream, ENOKI_EVENTS_SOURCE. Its first subscriber creates
// it. The stream keeps enoki.events.SOURCE.EVENT until every consumer that
// wants the event has acknowledged it. A full stream refuses new events, so the
// backlog of one source takes no room from another. The consumers are
//
//	evt+SOURCE+EVENT+SERVICE+HANDLER     of a Pool, durable
//	evt+SOURCE+EVENT                     of a Singleton, durable
//	evt+SOURCE+EVENT+SERVICE+HANDLER+ID  of a Broadcast, one for each instance or broadcast id
//
// The last instance of an ephemeral consumer removes it; if that instance has
// died, the server does so after five minutes. The plus sign keeps "a-b","c"
// and "a","b-c" apart, which '-' would not.
//
// A lasting subscription exists until its consumer is removed. When no release
// of a service subscribes any more, remove it (nats consumer rm
// ENOKI_EVENTS_SOURCE NAME). Otherwise its events fill the stream.
//
// An earlier version kept the events of all sources in the stream ENOKI_EVENTS.
// If that stream exists, it is used instead, so that instances of both versions
// work together. Driver.Part divides it.
//
// Rejected events go to the stream ENOKI_DEAD (enoki.dead.SERVICE.HANDLER.ID).
// It keeps them until somebody retries, discards or purges them. If it is full,
// it refuses more: the event then stays in its queue and comes again. The
// header Enoki-Dead says why, as JSON. A retried letter is an event again. It
// keeps that header, which names the one consumer that it is for; all other
// consumers acknowledge it at once. ENOKI_ATTEMPTS
// (enoki.attempts.CONSUMER.SEQUENCE) counts the attempts that were settled with
// Retry. The server's own count would not do: it also rises for events that
// were handed back or whose instance died.
//
// # Messages
//
// A body is the payload as it is. The header Enoki-Id has the message's id,
// Enoki-Context the context data as JSON, and Content-Type the media type. In
// that JSON, a number with a point or an exponent is a float64, and any other
// number an int64. {"$time":"…"} is a time in RFC 3339. {"$float":"NaN"} is a
// float for which JSON has no number. {"$map":{…}} is a map that has such a
// key itself. In names, bytes other than letters, digits, '_' and '-' are
// written %XX.
//
// # Frames
//
// If caller and service are both Enoki's, calls and replies go as frames. A
// frame begins with the byte 0xC1. Then come id, content type and context data,
// each after its length as a uvarint, and then the body. It has no headers. The
// header Enoki-Frame in a request asks for a frame as the reply. A caller that
// has got one sends frames to that service, until a reply is something else. A
// caller without that header therefore gets a plain body. A service without
// Enoki that listens on enoki.rpc.SERVICE.METHOD gets headers and a plain body.
//
// # Discovery
//
// Every instance answers the NATS micro protocol ($SRV.PING, $SRV.INFO and
// $SRV.STATS). Its broker.Instance is JSON in the metadata "enoki".
package nats
