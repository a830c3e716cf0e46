// Package interop_test proves on real Nameko, 2.14 and 3.0, that Go and Python
// services work in one cluster. A behaviour is tried in four pairings of
// service and client for each version; the pairing of Python with Python shows
// that the trial itself is right. The outcome is a table, which is printed and
// also written to the file that ENOKI_INTEROP_TABLE names.
package interop_test

import (
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/internal/testserver"
)

// beside is how many trials may run at once. They wait for timeouts and
// heartbeats most of their time, so it is more than there are processors.
const beside = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", beside); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, value := range environment { // before Nameko starts, which reads it too
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// pairing is a language of the service and one of the client, with a version
// of Nameko where one of them is Python.
type pairing struct {
	serviceLanguage, clientLanguage string
	python                          *python // nil when both are Go

	broker  string      // host and port
	secure  *secure     // its other door
	prober  *pythonPeer // looks at the broker without Nameko
	service peer        // shared by trials that run one after another
	client  peer
	echo    string // name of a service that runs on service

	outside, inside string // names of a standalone client and of one in a service

	t *testing.T // of the pairing as a whole
}

const (
	golang = "Go"
	snake  = "Python"
)

func (p *pairing) String() string {
	name := strings.ToLower(p.serviceLanguage[:2] + "<" + p.clientLanguage[:2])
	if p.python != nil {
		name += " " + p.python.version[:1] + ".x"
	}
	return name
}

// nameko returns the version in the pairing, empty when there is none.
func (p *pairing) nameko() string {
	if p.python == nil {
		return ""
	}
	return p.python.version
}

func (p *pairing) newPeer(t *testing.T, language string, s peerSpec) (peer, error) {
	t.Helper()
	if language == golang {
		return newGoPeer(t, p.broker, s)
	}
	return p.python.peer(t, p.broker, s)
}

// start gives the pairing its shared peers.
func (p *pairing) start() {
	t := p.t
	t.Helper()
	var err error
	if p.service, err = p.newPeer(t, p.serviceLanguage, peerSpec{}); err != nil {
		t.Fatal(err)
	}
	if p.client, err = p.newPeer(t, p.clientLanguage, peerSpec{}); err != nil {
		t.Fatal(err)
	}
	p.echo = fmt.Sprintf("echo%d", names.Add(1))
	if _, err := p.service.serve(serviceSpec{Name: p.echo}); err != nil {
		t.Fatal(err)
	}
}

// restart replaces the shared peers: a trial that failed may have left them in
// any state, and must not spoil the next one.
func (p *pairing) restart() {
	p.service.end()
	p.client.end()
	p.outside, p.inside = "", ""
	p.start()
}

// pairings returns the four, for each version those that have Python.
func pairings(pythons []*python) []*pairing {
	all := []*pairing{{serviceLanguage: golang, clientLanguage: golang}}
	for _, version := range pythons {
		for _, languages := range [][2]string{{golang, snake}, {snake, golang}, {snake, snake}} {
			all = append(all, &pairing{serviceLanguage: languages[0], clientLanguage: languages[1], python: version})
		}
	}
	return all
}

// expiring is the vhost where a reply queue without a consumer is deleted
// after replyExpiry instead of Nameko's five minutes.
const expiring = "expiring"

const replyExpiry = 2 * time.Second

func TestInterop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	door := newSecure(t)
	server := startRabbitMQ(t, door.settings())
	door.addDeclarer(t, server)
	address, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	var pythons []*python
	for _, version := range namekos {
		pythons = append(pythons, startPython(t, version))
	}
	prober, err := pythons[0].peer(t, address.Host, peerSpec{})
	if err != nil {
		t.Fatal(err)
	}
	all := pairings(pythons)
	behaviours := conformance()
	results := newTable(behaviours, all)
	t.Cleanup(func() { publish(t, results) })
	for _, p := range all {
		p.broker, p.secure, p.prober = address.Host, door, prober
		t.Run(strings.ReplaceAll(p.String(), " ", "-"), func(t *testing.T) {
			t.Parallel()
			p.t = t
			p.start()
			for _, b := range behaviours {
				t.Run(b.id, func(t *testing.T) { p.try(t, b, results) })
			}
		})
	}
}

func startRabbitMQ(t *testing.T, settings testserver.RabbitMQSettings) *testserver.Server {
	t.Helper()
	server := testserver.RabbitMQWith(t, settings)
	for _, args := range [][]string{
		{"add_vhost", expiring},
		{"set_permissions", "-p", expiring, "guest", ".*", ".*", ".*"},
		{"set_policy", "-p", expiring, "--apply-to", "queues", "short", `^rpc\.reply-`, fmt.Sprintf(`{"expires":%d}`, replyExpiry.Milliseconds())},
	} {
		if _, err := server.Ctl(args...); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

// try runs one trial and puts its outcome into the table.
func (p *pairing) try(t *testing.T, b *behaviour, results *table) {
	c := cell{id: b.id, pairing: p.String(), verdict: pass}
	if b.excused(p, &c) {
		results.put(c)
		return
	}
	if b.alone {
		t.Parallel()
	}
	x := &trial{T: t, pairing: p, behaviour: b}
	defer func() {
		if why := b.better.of(p); why != "" {
			c.verdict, c.reason = better, why
		}
		if t.Failed() {
			c.verdict, c.reason = differs, x.difference
		}
		results.put(c)
		if t.Failed() && !b.alone {
			p.restart()
		}
	}()
	b.run(x)
}

// publish prints the table and writes it to a file, if one is named.
func publish(t *testing.T, results *table) {
	out := []io.Writer{os.Stdout}
	if name := os.Getenv("ENOKI_INTEROP_TABLE"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close() // written without a buffer
		out = append(out, f)
	}
	if err := results.write(io.MultiWriter(out...)); err != nil {
		t.Error(err)
	}
}

// conformance is every behaviour, in the order of the table.
func conformance() []*behaviour {
	all := slices.Concat(callBehaviours(), errorBehaviours(), contextBehaviours(), eventBehaviours(),
		lifecycleBehaviours(), faultBehaviours(), replyQueueBehaviours(), serializerBehaviours(), publisherBehaviours(), loginBehaviours(), webBehaviours(), configBehaviours(), missingBehaviours())
	slices.SortStableFunc(all, func(a, b *behaviour) int { return strings.Compare(a.id, b.id) })
	return all
}
