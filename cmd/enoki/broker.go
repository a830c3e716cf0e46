package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/nats"
	"github.com/enoki-go/enoki/broker/nats/embedded"
	"github.com/enoki-go/enoki/internal/brokerdir"
)

func (c *cli) brokerCommand() *cobra.Command {
	var listen, dir string
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run the embedded broker alone",
		Long: `Run the embedded broker of this project alone, a NATS server with JetStream,
until Ctrl-C. It prints its URL, with the password, once it takes connections.
Services and commands of the same user that run in the project's directory find
it by themselves; everybody else needs the URL.`,
		Example: example(
			`enoki broker`,
			`enoki broker list`,
			`enoki broker --listen 127.0.0.1:4300 --dir ./broker-data`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.runBroker(cmd.Context(), listen, dir)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on; port 0 takes a free one (default: that of the last time, 127.0.0.1:4222 or a free one)")
	cmd.Flags().StringVar(&dir, "dir", "", "directory of its files (default: that of this project)")
	cmd.AddCommand(c.brokerListCommand(), c.brokerPartCommand())
	return cmd
}

func (c *cli) brokerListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the brokers that run for projects of yours",
		Long: `List the brokers that run for projects of yours, with the URL by which another
program or another user reaches them: it has the password.`,
		Example: example(`enoki broker list`, `enoki broker list --json`),
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.listBrokers() },
	}
}

// runningBroker is a row of enoki broker list.
type runningBroker struct {
	Project string `json:"project"`
	URL     string `json:"url"`
	Dir     string `json:"dir"`
}

func (c *cli) listBrokers() error {
	brokers := []runningBroker{}
	for _, p := range running() {
		brokers = append(brokers, runningBroker{p.Project, brokerdir.URL(p.Dir), p.Dir})
	}
	if c.json {
		return writeJSON(c.stdout, brokers)
	}
	if len(brokers) == 0 {
		c.say("no broker runs for a project of yours")
		return nil
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROJECT\tURL\tDIRECTORY")
	for _, b := range brokers {
		fmt.Fprintf(table, "%s\t%s\t%s\n", b.Project, b.URL, b.Dir)
	}
	return table.Flush()
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

// startBroker starts the embedded broker. An empty dir means that of this
// project, an empty address whatever is free.
func (c *cli) startBroker(listen, dir string) (*embedded.Server, error) {
	options := embedded.Options{Dir: dir, Logger: c.logger()}
	if err := readAddress(listen, &options); err != nil {
		return nil, err
	}
	if dir == "" {
		p, ok, err := c.place()
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, usageError{errors.New("there is no project here: no go.mod, go.work or .git above this directory; name a directory with `enoki broker --dir`")}
		}
		if err := p.Sign(); err != nil {
			return nil, err
		}
		options.Dir = p.Dir
	}
	server, err := embedded.Start(options)
	switch {
	case errors.Is(err, embedded.ErrPortInUse):
		err = fmt.Errorf("%w; choose another address with `enoki broker --listen`", err)
	case errors.Is(err, embedded.ErrLocked):
		err = fmt.Errorf("%w; that broker runs already, see `enoki broker list`; for another one choose a directory with `enoki broker --dir`", err)
	}
	return server, err
}

// readAddress puts host:port into options.
func readAddress(listen string, o *embedded.Options) error {
	if listen == "" {
		return nil
	}
	hostname, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen %q: %w; write it as 127.0.0.1:4222", listen, err)}
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return usageError{fmt.Errorf("--listen %q: %q is no port number", listen, portText)}
	}
	if o.Host, o.Port = hostname, port; port == 0 {
		o.Port = -1 // embedded's word for a free one
	}
	return nil
}

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
