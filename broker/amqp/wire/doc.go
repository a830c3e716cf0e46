// Package wire is a client of AMQP 0-9-1 as RabbitMQ speaks it. It has what
// package amqp needs and nothing beyond: a connection, its channels, the
// methods that declare, publish, consume and settle, and one encoder and one
// decoder of field tables.
//
// One goroutine reads a connection and one writes it. What is to be written
// while a write is under way goes with the next one, and so do acks, which are
// joined. Deliveries, returns and confirms are handed over in the goroutine
// that reads, so their functions must not block.
//
// Left to others: which host to connect to, TLS, connecting again, what becomes
// of a message whose confirm was lost, and all names of exchanges and queues.
//
// Sources are the specification of AMQP 0-9-1 (sections are named where they
// matter), its grammar in XML, and RabbitMQ's pages on its extensions,
// https://www.rabbitmq.com/docs/specification and /docs/extensions: confirms,
// basic.nack, connection.blocked, consumer cancel notifications, bindings
// between exchanges, authentication_failure_close and the types of fields.
package wire
