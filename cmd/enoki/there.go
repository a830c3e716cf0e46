package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
	"github.com/enoki-go/enoki/internal/closest"
)

// mostListed is how many names a message has.
const mostListed = 20

// whatThereIs is the end of a message about words that name nothing on this
// broker: those that were meant, else all that there are.
func whatThereIs(words, there []string) string {
	var meant []string
	for _, word := range words {
		if best := cmp.Or(closest.Slip(word, there), closest.To(word, there)); best != "" {
			meant = append(meant, best)
		}
	}
	switch {
	case len(there) == 0:
		return ""
	case len(meant) == len(words):
		return "\nDid you mean " + strings.Join(meant, ", ") + "?"
	case len(there) > mostListed:
		return fmt.Sprintf("; there is %s and %d more", strings.Join(there[:mostListed], ", "), len(there)-mostListed)
	}
	return "; there is " + strings.Join(there, ", ")
}

func serviceNames(instances []broker.Instance) []string {
	var names []string
	for _, i := range instances {
		names = append(names, i.Name)
	}
	return unique(names, "")
}

// eventNames are the events that live services emit or handle.
func eventNames(instances []broker.Instance) []string {
	var names []string
	for _, i := range instances {
		if i.Name == listenerName {
			continue // one that listens to a misspelt event makes it no better
		}
		for _, e := range slices.Concat(i.Emits, i.Handles) {
			names = append(names, e.Source+"."+e.Name)
		}
	}
	return unique(names, "")
}

// tellOfUnknownEvents says which of the events no live service knows, as far as
// services tell: those that are not written with Enoki do not. So on RabbitMQ,
// where services in Python are, it speaks only of a name that is nearly one of
// those that are known. It is silent when the broker can't be asked.
func (c *cli) tellOfUnknownEvents(ctx context.Context, b broker.Broker, events []string) {
	instances, err := b.Services(ctx)
	if err != nil {
		return
	}
	there := eventNames(instances)
	unknown := slices.DeleteFunc(slices.Clone(events), func(e string) bool { return slices.Contains(there, e) })
	if _, rabbit := b.(*amqp.Driver); rabbit {
		unknown = slices.DeleteFunc(unknown, func(e string) bool { return closest.Slip(e, there) == "" })
	}
	if len(unknown) > 0 {
		c.say("no live service emits or handles %s%s", strings.Join(unknown, ", "), whatThereIs(unknown, there))
	}
}
