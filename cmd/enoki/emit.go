package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
)

func (c *cli) emitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "emit SOURCE.EVENT [name=text | name:=JSON]... | JSON | -",
		Short: "Emit an event in the name of a service",
		Long: `Emit an event in the name of a service, and return once the broker has stored
it for everyone who subscribes to it.

The payload is one JSON value, - for one from stdin, or an object made of
name=text and name:=JSON. Without any of these it is null.`,
		Example: example(
			`enoki emit comments.posted article_id:=12 content="nice one"`,
			`enoki emit comments.posted '{"article_id":12}'`,
			`enoki emit comments.posted - <comment.json`),
		Args:              atLeast(1),
		ValidArgsFunction: c.completeEvent(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			ctx, cancel := withTimeout(cmd.Context(), timeout)
			defer cancel()
			return c.emit(ctx, words)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the broker")
	return cmd
}

func (c *cli) emit(ctx context.Context, words []string) error {
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
	if err := enoki.NewClient(b, c.options()).Emit(ctx, source, event, payload); err != nil {
		return err
	}
	c.tellOfUnknownEvents(ctx, b, []string{source + "." + event})
	return nil
}
