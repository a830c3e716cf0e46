package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/host"
)

func (c *cli) brokerCommand() *cobra.Command {
	var listen, dir string
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded broker alone",
		Long: `Run the embedded broker alone, a NATS server with JetStream, until Ctrl-C. It
prints its URL once it takes connections. Services and commands on this machine
find it by themselves at the default address.

Beyond loopback it is open to everyone who reaches it: there is no password.`,
		Example: example(
			`enoki broker`,
			`enoki broker --listen 127.0.0.1:4300 --dir ./broker-data`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runBroker(cmd.Context(), listen, dir)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", c.local, "address to listen on; port 0 takes a free one")
	cmd.Flags().StringVar(&dir, "dir", "", "directory of its files (default: that of services without a broker)")
	return cmd
}

func (c *cli) runBroker(ctx context.Context, listen, dir string) error {
	server, err := c.startBroker(listen, dir)
	if err != nil {
		return err
	}
	defer server.Shutdown()
	if c.json {
		err = writeJSON(c.stdout, map[string]string{"url": server.URL()})
	} else {
		_, err = fmt.Fprintln(c.stdout, server.URL())
	}
	if err != nil {
		return err
	}
	c.say("broker runs; Ctrl-C ends it")
	<-ctx.Done()
	return nil
}

// startBroker starts the embedded broker; an empty dir means the default.
func (c *cli) startBroker(listen, dir string) (*embedded.Server, error) {
	hostname, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen %q: %w; write it as 127.0.0.1:4222", listen, err)}
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return nil, usageError{fmt.Errorf("--listen %q: %q is no port number", listen, portText)}
	}
	if port == 0 {
		port = -1 // embedded's word for a free one
	}
	if dir == "" {
		if dir, err = host.StoreDir(); err != nil {
			return nil, err
		}
	}
	server, err := embedded.Start(embedded.Options{Host: hostname, Port: port, Dir: dir, Logger: c.logger()})
	switch {
	case errors.Is(err, embedded.ErrPortInUse):
		err = fmt.Errorf("%w; if that is a broker, there is no need for another, else choose an address with `enoki broker --listen`", err)
	case errors.Is(err, embedded.ErrLocked):
		err = fmt.Errorf("%w; use that broker, or choose a directory with `enoki broker --dir`", err)
	}
	return server, err
}
