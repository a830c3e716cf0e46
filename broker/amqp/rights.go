package amqp

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/enoki-go/enoki/broker"
	"github.com/enoki-go/enoki/broker/amqp/wire"
)

// Rights are what RabbitMQ lets a user configure, write and read: three
// regular expressions for names of exchanges and queues.
type Rights struct {
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// RightsOf returns the least rights that a user needs whose process runs the
// given services. Of the Config, the names count: Owner, which is any when it
// is empty, and RPCExchange.
func RightsOf(c Config, services ...broker.Instance) Rights {
	owner := ".+"
	if c.Owner != "" {
		owner = regexp.QuoteMeta(c.Owner)
	}
	c = c.withDefaults()
	var r rights
	r.exchange(c.RPCExchange)
	r.exchange(control.name)
	r.own(`rpc\.reply-` + owner + `-.+`)
	r.write(`amq\.default`) // where a message goes that is for one queue
	r.own(regexp.QuoteMeta(dead.name) + `(\.lock)?`)
	r.both(regexp.QuoteMeta(unroutable.name))
	r.both(regexp.QuoteMeta(laterExchange) + `(\.[0-9]+|\.nowhere)?`)
	r.both(regexp.QuoteMeta(oldLaterExchange) + `(\.[0-9]+(\.rest)?)?`)
	r.both(regexp.QuoteMeta(retryExchange().name) + `(\.unbound)?`)
	for _, s := range services {
		r.service(s)
	}
	return Rights{Configure: anyOf(r.configures), Write: anyOf(r.writes), Read: anyOf(r.reads)}
}

// Command is how an operator gives them.
func (r Rights) Command(vhost, user string) string {
	return fmt.Sprintf("rabbitmqctl set_permissions -p '%s' '%s' '%s' '%s' '%s'", cmp.Or(vhost, "/"), user, r.Configure, r.Write, r.Read)
}

// rights are expressions, one for each kind of name.
type rights struct{ configures, writes, reads []string }

func (r *rights) write(name string) { r.writes = append(r.writes, name) }

// both has an exchange or a queue declared, bound to others and from them.
func (r *rights) both(name string) {
	r.configures, r.writes, r.reads = append(r.configures, name), append(r.writes, name), append(r.reads, name)
}

// own has a queue declared, bound and read.
func (r *rights) own(name string) { r.both(name) }

// exchange has an exchange declared, published to, and queues bound to it.
func (r *rights) exchange(name string) { r.both(regexp.QuoteMeta(name)) }

// source has an exchange declared and queues bound to it.
func (r *rights) source(name string) {
	name = regexp.QuoteMeta(name)
	r.configures, r.reads = append(r.configures, name), append(r.reads, name)
}

func (r *rights) service(s broker.Instance) {
	name := regexp.QuoteMeta(s.Name)
	r.own("rpc-" + name)
	r.own(`enoki\.(control|direct)-` + name + "-.+")
	r.own(`enoki\.at-most-once-` + name)
	r.exchange(s.Name + ".events")
	for _, e := range s.Emits {
		r.exchange(e.Source + ".events")
	}
	for _, e := range s.Handles {
		r.source(e.Source + ".events")
		queue := "evt-" + regexp.QuoteMeta(e.Source) + "-" + regexp.QuoteMeta(e.Name)
		if e.Mode != broker.Singleton {
			queue += "--" + name + `\..+`
		} else {
			queue += `(` + regexp.QuoteMeta(ledgerSuffix) + `)?`
		}
		r.own(queue)
	}
	for _, c := range s.Crons {
		r.own(regexp.QuoteMeta(lockQueue("cron." + s.Name + "." + c.Name).name))
	}
}

func anyOf(names []string) string {
	slices.Sort(names)
	return "^(" + strings.Join(slices.Compact(names), "|") + ")$"
}

// isRefused tells whether the broker denied a right.
func isRefused(err error) bool {
	refused, ok := errors.AsType[*wire.Error](err)
	return ok && refused.Code == wire.AccessRefused
}
