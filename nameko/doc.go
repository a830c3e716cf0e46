// Package nameko is for services among Python's. It gives services on RabbitMQ
// what only RabbitMQ has, exchanges to publish to and queues to consume from, as
// Nameko's Publisher and consume do; a service with one of these runs on no
// other broker. And it has types for values that Python writes in its own way.
//
// RPC and events need none of it: package enoki speaks Nameko's wire for them
// by itself. docs/nameko.md has what of Nameko is where.
package nameko

import (
	"fmt"

	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/entrypoint"
)

// What is declared on the broker, see package amqp. Their flags and defaults
// are kombu's, so a program in Python declares the same.
type (
	Exchange    = amqp.Exchange
	Queue       = amqp.Queue
	Binding     = amqp.Binding
	Declaration = amqp.Declaration // an Exchange or a Queue
)

// Message is a message from a queue with all that came with it.
type Message = amqp.Received

// driverOf returns the RabbitMQ driver that a service runs on, or nil when the
// service does without.
func driverOf(scope *entrypoint.Scope, what string) (*amqp.Driver, error) {
	driver, ok := scope.Broker.(*amqp.Driver)
	if !ok && scope.Isolated {
		scope.Logger.Warn(what + " does nothing: the service runs isolated, without RabbitMQ")
		return nil, nil
	}
	if !ok {
		return nil, fmt.Errorf("%s needs RabbitMQ, and service %s runs on another broker (%T): give the URL of a RabbitMQ, amqp://user:password@host/vhost",
			what, scope.Service, scope.Broker)
	}
	return driver, nil
}
