// Package nameko is for services that work together with Python services. It
// gives services what only RabbitMQ has: exchanges to publish to and queues to
// consume from, like Nameko's Publisher and consume. A service with one of
// these runs on no other broker. The package also has types for values that
// Python writes in its own way.
//
// RPC and events do not need this package: package enoki speaks Nameko's wire
// by itself. docs/nameko.md maps Nameko's features to Enoki's.
package nameko

import (
	"fmt"

	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/entrypoint"
)

// The declarations of things on the broker, see package amqp. Their flags and
// defaults are kombu's, so a Python program declares the same.
type (
	Exchange    = amqp.Exchange
	Queue       = amqp.Queue
	Binding     = amqp.Binding
	Declaration = amqp.Declaration // an Exchange or a Queue
)

// Message is a message from a queue, with everything that came with it.
type Message = amqp.Received

// driverOf returns the RabbitMQ driver of a service, or nil if the service is
// isolated.
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
