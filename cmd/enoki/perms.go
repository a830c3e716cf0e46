package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp"
)

// permissions is what perms is told.
type permissions struct {
	user, vhost, rpcExchange string
	offline                  bool
	handles                  []string // SOURCE.EVENT
}

func (c *cli) permsCommand() *cobra.Command {
	var p permissions
	cmd := &cobra.Command{
		Use:   "perms SERVICE...",
		Short: "Print the rights on RabbitMQ that services need",
		Long: `Print the least rights that a RabbitMQ user needs whose process runs the services:
what it may configure, write and read, and the rabbitmqctl command that gives them.

It asks the services, on whatever broker they run: the embedded one of a
developer will do. With --offline it asks nobody; name the events that the
services handle with --handles.`,
		Example: example(
			`enoki perms push register --user shop`,
			`enoki perms push --offline --handles comments.posted`),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: c.completeService,
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.perms(cmd.Context(), names, p)
		},
	}
	cmd.Flags().StringVar(&p.user, "user", "", "whom they are for (default the first service)")
	cmd.Flags().StringVar(&p.vhost, "vhost", "/", "where")
	cmd.Flags().StringVar(&p.rpcExchange, "rpc-exchange", "", "Nameko's rpc_exchange (default nameko-rpc)")
	cmd.Flags().BoolVar(&p.offline, "offline", false, "don't ask the services")
	cmd.Flags().StringArrayVar(&p.handles, "handles", nil, "an event that the services handle, SOURCE.EVENT; may be repeated")
	return cmd
}

func (c *cli) perms(ctx context.Context, names []string, p permissions) error {
	services, err := c.describe(ctx, names, p)
	if err != nil {
		return err
	}
	user := p.user
	if user == "" {
		user = names[0]
	}
	rights := amqp.RightsOf(amqp.Config{RPCExchange: p.rpcExchange}, services...)
	if c.json {
		return writeJSON(c.stdout, rights)
	}
	_, err = fmt.Fprintf(c.stdout, "configure  %s\nwrite      %s\nread       %s\n\n%s\n",
		rights.Configure, rights.Write, rights.Read, rights.Command(p.vhost, user))
	return err
}

// describe returns what is known of the services named, one instance of each.
func (c *cli) describe(ctx context.Context, names []string, p permissions) ([]broker.Instance, error) {
	var services []broker.Instance
	for _, name := range names {
		services = append(services, broker.Instance{Name: name})
	}
	for _, event := range p.handles {
		source, name, ok := strings.Cut(event, ".")
		if !ok {
			return nil, usageError{fmt.Errorf("--handles %s: want SOURCE.EVENT, such as comments.posted", event)}
		}
		for i := range services {
			services[i].Handles = append(services[i].Handles, broker.Event{Source: source, Name: name})
		}
	}
	if p.offline {
		return services, nil
	}
	ctx, cancel := withTimeout(ctx, listTimeout)
	defer cancel()
	b, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	alive, err := b.Services(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the services: %w", err)
	}
	alive, missing := pick(alive, names)
	if len(missing) > 0 {
		return nil, enoki.Errorf(enoki.UnknownService, "%s is not alive on this broker; start it, or use --offline and --handles", strings.Join(missing, ", "))
	}
	return append(services, alive...), nil
}
