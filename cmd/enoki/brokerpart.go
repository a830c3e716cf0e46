package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
)

func (c *cli) brokerPartCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "part",
		Short: "Give each source a stream of its own, on a NATS of an earlier version",
		Long: `Give the events of each source a stream of their own, on a NATS server or cluster
where an earlier version of Enoki keeps all of them in the stream ENOKI_EVENTS.

It may run while services emit and handle events. It refuses while instances of
an earlier version run. What was stored before is handled first; the command ends
when that is done, and deletes the stream. If it is interrupted, run it again.`,
		Example: example(`enoki broker part --broker nats://user:password@host:4222`),
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.partBroker(cmd.Context()) },
	}
}

func (c *cli) partBroker(ctx context.Context) error {
	b, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }() // nothing is left to be sent
	driver, ok := b.(*nats.Driver)
	if !ok {
		return usageError{errors.New("only NATS has streams to part")}
	}
	said := ""
	err = driver.Part(ctx, func(waiting []broker.Waiting) {
		if now := whoWaits(waiting); now != said {
			said = now
			c.say("events of before that are to be handled yet: %s", now)
		}
	})
	switch {
	case err != nil && said != "":
		return enoki.Errorf(enoki.CodeOf(err), "%w: new events have streams of their own already; run it again", err)
	case err != nil:
		return err
	}
	c.say("each source has a stream of its own")
	return nil
}

// whoWaits names the subscriptions and how many events each has.
func whoWaits(waiting []broker.Waiting) string {
	var all []string
	for _, w := range waiting {
		who := w.Service + "." + w.Handler
		if w.Service == "" {
			who = fmt.Sprintf("the singleton of %s.%s", w.Source, w.Event)
		}
		all = append(all, fmt.Sprintf("%d of %s", w.Events, who))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
