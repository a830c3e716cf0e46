// Package amqp is the RabbitMQ driver. It implements [broker.Broker] over AMQP
// 0-9-1 with the exchanges, queues, properties and headers of Nameko 2 and 3.
// Services of both kinds therefore work in one cluster.
//
// It leaves bodies and the meaning of calls to package enoki, and the protocol
// of a connection to package wire.
//
// # Exchanges
//
// Every exchange is durable, is not auto-delete and has no arguments, unless
// the flags say otherwise.
//
// A delayed event or a retry goes down a ladder. Its delay is a binary number of
// steps of 100 ms, and each digit N is a level of the ladder. The message waits
// on the levels whose digit is 1 and passes the others.
//
//	nameko-rpc           topic    requests and replies; the name is Config.RPCExchange
//	SOURCE.events        topic    the events of service SOURCE
//	                              auto-delete with Config.AutoDeleteEvents
//	                              not declared with Config.EventsUndeclared
//	enoki.control        topic    pings, cancellations and lost bindings, between Enoki's instances
//	enoki.wait           headers  the foot of the ladder, where delayed events and retries arrive when due
//	enoki.wait.N         headers  level N of the ladder, which leads to level N-1 or to enoki.wait
//	                              both kinds: alternate-exchange=enoki.unroutable
//	enoki.unroutable     fanout   messages of the ladder that no exchange can route
//	enoki.retry          direct   retries on their way back to their queue
//	                              alternate-exchange=enoki.retry.unbound
//	enoki.retry.unbound  fanout   retries whose queue was deleted and declared again
//	enoki.due.N.rest     headers  a way out of the ladder enoki.due.N, if an older Enoki has declared it
//	                              alternate-exchange=enoki.unroutable
//
// # Queues
//
// Every queue is durable, neither exclusive nor auto-delete, and has no
// arguments, unless the flags say otherwise. A queue marked with * gets
// x-queue-type=quorum if Config.QueueType is [Quorum]. S is the name of the
// service, ID the id of an instance or of a process.
//
//	rpc-S *                        requests to S
//	                               bound to nameko-rpc with S.*
//	rpc.reply-OWNER-ID *           replies to one process; OWNER is Config.Owner
//	                               bound to nameko-rpc with ID; x-expires=300000
//	evt-SOURCE-TYPE--S.HANDLER *   events for a Pool
//	evt-SOURCE-TYPE *              events for a Singleton
//	evt-SOURCE-TYPE--S.HANDLER-ID *
//	                               events for a Broadcast; ID is its BroadcastID
//	                               all three: bound to SOURCE.events with TYPE
//	                               Ephemeral: auto-delete, and never a quorum queue
//	                               Broadcast without BroadcastID: exclusive, auto-delete, ID of the instance
//	                               OrderBy: x-single-active-consumer=true, unless exclusive
//	EVENTS.enoki-suspects *        starts without an outcome, of an ordered queue EVENTS
//	                               x-max-length=1, x-expires=86400000
//	enoki.direct-S-ID              requests to one instance; exclusive, auto-delete
//	                               bound to nameko-rpc with enoki.direct.ID.*
//	enoki.control-S-ID             control messages to one instance; exclusive, auto-delete
//	                               bound to enoki.control with all and service.S
//	enoki.at-most-once-S           requests that may be lost; auto-delete, x-expires=60000
//	                               not with QueueType quorum; replies go to amq.rabbitmq.reply-to
//	enoki.wait.N                   messages that wait 100 ms × 2^N on level N
//	                               bound to the exchange of that name, with enoki-later-level-N=true
//	                               x-queue-type=quorum, x-message-ttl, x-overflow=reject-publish,
//	                               x-dead-letter-exchange to level N-1, x-dead-letter-strategy=at-least-once
//	enoki.wait.nowhere             copies that are dropped, so that each message of the ladder has a queue
//	                               bound to enoki.wait and enoki.due.N.rest; x-message-ttl=0
//	enoki.retry.unbound            retries that go on to their queue by its name
//	                               bound to the exchange of that name; x-message-ttl=0,
//	                               x-dead-letter-exchange to the default exchange
//	enoki.dead *                   dead letters of all services
//	                               bound to enoki.unroutable once a message waits on the ladder
//	enoki.dead.lock                held by the one process that reads dead letters; not durable, exclusive
//	enoki.lock.NAME *              a lock and its state; x-single-active-consumer=true
//	enoki.tap-S-ID                 copies for a [Tap]; not durable, exclusive, auto-delete
//	                               bound to nameko-rpc with * and S.*
//	                               x-max-length, x-max-length-bytes, x-overflow=drop-head, x-queue-type=classic
//	enoki.tap-mark-ID              tells a Tap whether two URLs are one broker; not durable, exclusive, auto-delete
//
// Package nameko adds the exchanges and queues that a service declares itself,
// see [Exchange] and [Queue].
package amqp
