package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/enoki-go/enoki"
	"github.com/enoki-go/enoki/cmd/enoki/contract"
	"github.com/enoki-go/enoki/internal/pysource"
)

// contractOptions are the flags of enoki contract.
type contractOptions struct {
	from    string // Python file; may be empty with live
	pkg     string // name of the Go package; empty means the service's with "api"
	service string // the only one to write; empty means all
	output  string // Go file; empty means stdout

	live     string        // service whose calls are watched; empty for none
	period   time.Duration // how long
	count    int           // of requests at most; 0 for any number
	exchange string        // of the live requests
}

func (c *cli) contractCommand() *cobra.Command {
	var o contractOptions
	cmd := &cobra.Command{
		Use:   "contract FILE",
		Short: "Write a Go contract from the Python source of a Nameko service",
		Long: `Write a Go contract from the Python source of a Nameko service: a struct with a
function for each @rpc method and a variable for each event that it dispatches.
Types come from annotations; where there are none, they are any. The file is
yours to edit: it is written once, and never over one that is there.

It reads one file and runs nothing; Python need not be installed.

With --live it watches the calls to a service on RabbitMQ, as enoki shadow does,
and gives each any the type that was seen; without a file the contract holds
what was called meanwhile. The service notices nothing, and no value is kept.`,
		Example: example(
			`enoki contract services/register.py -o registerapi/register.go`,
			`enoki contract services/all.py --service push --package pushapi`,
			`enoki contract services/register.py --live register --for 10m --broker amqp://localhost -o registerapi/register.go`),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words) > 0 && o.from != "" {
				return usageError{fmt.Errorf("there are two files, %s and --from %s; give one", words[0], o.from)}
			}
			if len(words) > 0 {
				o.from = words[0]
			}
			return c.contract(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.from, "from", "", "Python file of the service, as FILE")
	cmd.Flags().StringVar(&o.pkg, "package", "", `name of the Go package (default: that of the service and "api")`)
	cmd.Flags().StringVar(&o.service, "service", "", "write this service only (default: all of the file)")
	cmd.Flags().StringVar(&o.live, "live", "", "watch the calls to this service on RabbitMQ, and take types from them")
	cmd.Flags().DurationVar(&o.period, "for", time.Minute, "how long to watch")
	cmd.Flags().IntVar(&o.count, "count", 0, "stop watching after this many requests (default: never)")
	cmd.Flags().StringVar(&o.exchange, "rpc-exchange", "nameko-rpc", "exchange of the live requests, Nameko's rpc_exchange")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "Go file to write, with its directory (default: stdout)")
	return cmd
}

func (c *cli) contract(ctx context.Context, o contractOptions) error {
	switch {
	case o.from == "" && o.live == "":
		return usageError{errors.New("the Python file of the service is missing; name it, as in enoki contract services/register.py, or a service that runs with --live")}
	case o.live != "" && o.service != "" && o.live != o.service:
		return usageError{fmt.Errorf("--live %s and --service %s are two services; watch the one that you write", o.live, o.service)}
	case o.live != "" && o.period <= 0:
		return usageError{fmt.Errorf("--for %v is no time to watch for", o.period)}
	case o.pkg != "" && (!token.IsIdentifier(o.pkg) || o.pkg == "_"):
		return usageError{fmt.Errorf("--package %s can't be the name of a Go package; take lower-case letters, such as registerapi", o.pkg)}
	}
	if o.live != "" {
		o.service = o.live
	}
	file, err := c.makeContract(ctx, &o)
	if err != nil {
		return err
	}
	if o.output != "" {
		if err := create(o.output, file.Source); err != nil {
			return err
		}
	}
	return c.printContract(o, file)
}

// makeContract makes the file of what is in the source, what was seen of calls,
// or both.
func (c *cli) makeContract(ctx context.Context, o *contractOptions) (*contract.File, error) {
	if o.from == "" {
		traffic, err := c.watch(ctx, *o)
		if err != nil {
			return nil, err
		}
		o.pkg = cmp.Or(o.pkg, packageWord(o.live)+"api")
		return contract.WriteSeen(o.pkg, o.live, traffic)
	}
	module, services, left, err := readServices(*o)
	if err != nil {
		return nil, err
	}
	o.pkg = cmp.Or(o.pkg, packageName(services, o.from))
	for _, s := range left {
		c.say("left out: %s", s.LeftOut())
	}
	var traffic *contract.Traffic
	if o.live != "" {
		if traffic, err = c.watch(ctx, *o); err != nil {
			return nil, err
		}
	}
	return contract.Write(o.pkg, filepath.ToSlash(o.from), module, services, left, traffic)
}

// readServices returns the services of the Python file that are wanted, at
// least one, and the others.
func readServices(o contractOptions) (module *pysource.Module, wanted, left []*contract.Service, err error) {
	src, err := os.ReadFile(o.from)
	if err != nil {
		return nil, nil, nil, err
	}
	if module, err = pysource.Parse(o.from, src); err != nil {
		return nil, nil, nil, enoki.Errorf(enoki.InvalidArgument, "%w", err)
	}
	services, nameless := contract.Services(module)
	all := slices.Concat(services, nameless)
	if wanted, err = chooseServices(o, services, nameless); err != nil {
		return nil, nil, nil, err
	}
	left = slices.DeleteFunc(all, func(s *contract.Service) bool { return slices.Contains(wanted, s) })
	return module, wanted, left, nil
}

// chooseServices returns the service that --service names, or all that can be
// called, or all when none can. One whose name only a run of Python would tell
// takes that name when it is the only one.
func chooseServices(o contractOptions, services, nameless []*contract.Service) ([]*contract.Service, error) {
	var names []string
	for _, s := range services {
		if s.Name == o.service {
			return []*contract.Service{s}, nil
		}
		names = append(names, s.Name)
	}
	callable := slices.DeleteFunc(slices.Clone(services), func(s *contract.Service) bool { return !s.Calls() })
	switch {
	case o.service == "" && len(callable) > 0:
		return callable, nil
	case o.service == "" && len(services) > 0:
		return services, nil
	case o.service != "" && len(nameless) == 1:
		nameless[0].Name = o.service
		return nameless, nil
	case o.service != "" && len(services) > 0:
		return nil, enoki.Errorf(enoki.NotFound, "%s: no service %s; there is %s", o.from, o.service, strings.Join(names, ", "))
	case len(nameless) > 0:
		s := nameless[0]
		return nil, enoki.Errorf(enoki.NotFound, "%s:%d: class %s has %s, but its name is %s; give it with --service NAME",
			o.from, s.Class.Line, s.Class.Name, s.Offers(), s.NameText())
	}
	return nil, enoki.Errorf(enoki.NotFound, `%s: no Nameko service: no class with name = "…" and a method with @rpc, @event_handler, @http or @timer`, o.from)
}

// packageName is registerapi for the service register, and for a file with
// several services made of the file's name.
func packageName(services []*contract.Service, from string) string {
	name := services[0].Name
	if len(services) > 1 {
		name = strings.TrimSuffix(filepath.Base(from), filepath.Ext(from))
	}
	name = packageWord(name)
	if !slices.ContainsFunc(services, (*contract.Service).Calls) {
		return name // the service itself
	}
	return name + "api"
}

// packageWord makes a name a package can have.
func packageWord(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if name == "" || name[0] <= '9' {
		name = "service" + name
	}
	return name
}

// create writes a file that must not be there, and the directories above it.
func create(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return enoki.Errorf(enoki.AlreadyExists, "%s is there already and may hold edits of yours; remove it, or name another file", name)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// jsonContract is what enoki contract --json writes.
type jsonContract struct {
	Package  string            `json:"package"`
	File     string            `json:"file,omitempty"`   // where it was written
	Source   string            `json:"source,omitempty"` // when it was not written to a file
	Services []contract.Struct `json:"services"`
}

func (c *cli) printContract(o contractOptions, file *contract.File) error {
	if c.json {
		out := jsonContract{Package: o.pkg, File: o.output, Services: file.Structs}
		if o.output == "" {
			out.Source = string(file.Source)
		}
		return writeJSON(c.stdout, out)
	}
	if o.output == "" {
		_, err := c.stdout.Write(file.Source)
		return err
	}
	for _, s := range file.Structs {
		c.say("%s: %s.%s with %s", o.output, o.pkg, s.Type, strings.Join(s.Methods, ", "))
	}
	return nil
}
