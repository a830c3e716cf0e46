package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/enoki-go/enoki"
)

func (c *cli) emitCommand() *cobra.Command {
	var timeout time.Duration
	var special emitFlags
	cmd := &cobra.Command{
		Use:   "emit SOURCE.EVENT [name=text | name:=JSON]... | JSON | -",
		Short: "Emit an event in the name of a service",
		Long: `Emit an event in the name of a service, and return once the broker has stored
it for everyone who subscribes to it.

The payload is one JSON value, - for one from stdin, or an object made of
name=text and name:=JSON. Without any of these it is null.

With --after or --at the broker keeps the event and delivers it then, to the
subscriptions that are there at that time.`,
		Example: example(
			`enoki emit comments.posted article_id:=12 content="nice one"`,
			`enoki emit comments.posted '{"article_id":12}'`,
			`enoki emit comments.posted - <comment.json`,
			`enoki emit orders.reminded id=17 --after 24h --id reminder-17`),
		Args:              atLeast(1),
		ValidArgsFunction: c.completeEvent(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			ctx, cancel := withTimeout(cmd.Context(), timeout)
			defer cancel()
			options, err := special.options(cmd.Flags())
			if err != nil {
				return usageError{err}
			}
			return c.emit(ctx, words, options)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the broker")
	special.register(cmd.Flags())
	return cmd
}

// emitFlags are the options of the event that is emitted.
type emitFlags struct {
	after           time.Duration
	at, id, subject string
}

func (f *emitFlags) register(flags *pflag.FlagSet) {
	flags.DurationVar(&f.after, "after", 0, "deliver the event no sooner than so much later, 8784h (366 days) at most")
	flags.StringVar(&f.at, "at", "", "deliver the event no sooner than at this time: a date, or RFC 3339")
	flags.StringVar(&f.id, "id", "", "the id of the event, in place of a new one")
	flags.StringVar(&f.subject, "subject", "", "put the event into the envelope of CloudEvents, as being about this")
}

// options returns those that were given.
func (f *emitFlags) options(flags *pflag.FlagSet) ([]enoki.EmitOption, error) {
	var options []enoki.EmitOption
	if flags.Changed("after") && flags.Changed("at") {
		return nil, errors.New("--after and --at both say when the event is due; give one of them")
	}
	if flags.Changed("after") {
		options = append(options, enoki.After(f.after))
	}
	if flags.Changed("at") {
		due, err := parseDate(f.at)
		if err != nil {
			return nil, fmt.Errorf("--at %w", err)
		}
		options = append(options, enoki.At(due))
	}
	if flags.Changed("id") {
		options = append(options, enoki.WithMessageID(f.id))
	}
	if flags.Changed("subject") {
		options = append(options, enoki.AsCloudEvent(f.subject))
	}
	return options, nil
}

func (c *cli) emit(ctx context.Context, words []string, options []enoki.EmitOption) error {
	source, event, err := splitEvent(words[0])
	if err != nil {
		return err
	}
	payload, err := parsePayload(words[1:], c.stdin)
	if err != nil {
		return asUsage(err)
	}
	b, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := enoki.NewClient(b, c.options()).Emit(ctx, source, event, payload, options...); err != nil {
		return err
	}
	c.tellOfUnknownEvents(ctx, b, []string{source + "." + event})
	return nil
}
