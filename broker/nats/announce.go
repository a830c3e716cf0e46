package nats

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/enoki-go/enoki/broker"
)

// instanceKey is the metadata key of the broker.Instance, as JSON, in the reply
// to $SRV.INFO.
const instanceKey = "enoki"

// verbs are the verbs of the micro protocol.
var verbs = [...]micro.Verb{micro.PingVerb, micro.InfoVerb, micro.StatsVerb}

func pingSubject(service string) string { return srvSubject(micro.PingVerb, service) }

// srvSubject returns a subject of the micro protocol: for all services, for one
// service, or for one instance.
func srvSubject(verb micro.Verb, parts ...string) string {
	subject := micro.APIPrefix + "." + verb.String()
	for _, part := range parts {
		subject += "." + token(part)
	}
	return subject
}

// presence replies to the micro protocol for a member.
type presence struct {
	member *member
	ping   []byte // these do not change
	info   []byte

	mu   sync.Mutex // guards subs
	subs []*natsgo.Subscription
}

func newPresence(m *member) (*presence, error) {
	s := m.service
	id := micro.ServiceIdentity{Name: s.Name, ID: s.ID, Version: s.Version, Metadata: map[string]string{}}
	if id.Version == "" {
		id.Version = "0.0.0"
	}
	ping, err := json.Marshal(micro.Ping{ServiceIdentity: id, Type: micro.PingResponseType})
	if err != nil {
		return nil, err
	}
	instance, err := json.Marshal(s.Instance)
	if err != nil {
		return nil, err
	}
	full := id
	full.Metadata = map[string]string{instanceKey: string(instance), streamsKey: streamsBySource}
	info, err := json.Marshal(micro.Info{
		ServiceIdentity: full, Type: micro.InfoResponseType, Description: "Enoki service", Endpoints: endpoints(s.Instance)})
	return &presence{member: m, ping: ping, info: info}, err
}

func endpoints(s broker.Instance) []micro.EndpointInfo {
	list := make([]micro.EndpointInfo, 0, len(s.Methods))
	for _, method := range s.Methods {
		list = append(list, micro.EndpointInfo{
			Name: method.Name, Subject: callSubject(s.Name, method.Name), QueueGroup: queueGroup,
			Metadata: map[string]string{"signature": signature(method)},
		})
	}
	return list
}

// signature shows a method in Go's way, for people at the nats tool.
func signature(m broker.Method) string {
	args := make([]string, len(m.Args))
	for i, arg := range m.Args {
		args[i] = arg
		if i < len(m.Types) {
			args[i] += " " + m.Types[i]
		}
	}
	return fmt.Sprintf("%s(%s) (%s)", m.Name, strings.Join(args, ", "), strings.Join(m.Results, ", "))
}

func (p *presence) subjects() []string {
	s := p.member.service
	var list []string
	for _, verb := range verbs {
		list = append(list, srvSubject(verb), srvSubject(verb, s.Name), srvSubject(verb, s.Name, s.ID))
	}
	return list
}

// show starts to reply. A second call does nothing.
func (p *presence) show() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subs != nil {
		return nil
	}
	for _, subject := range p.subjects() {
		sub, err := p.member.driver.link.nc.Subscribe(subject, p.answer)
		if err != nil {
			return err
		}
		p.subs = append(p.subs, sub)
	}
	return nil
}

func (p *presence) answer(msg *natsgo.Msg) {
	verb := strings.TrimPrefix(msg.Subject, micro.APIPrefix+".")
	body := p.ping
	switch {
	case strings.HasPrefix(verb, micro.InfoVerb.String()):
		body = p.info
	case strings.HasPrefix(verb, micro.StatsVerb.String()):
		body = p.stats()
	}
	// If the link is lost, the asking program asks again.
	_ = msg.Respond(body)
}

func (p *presence) stats() []byte {
	m := p.member
	id := micro.ServiceIdentity{Name: m.service.Name, ID: m.service.ID, Version: m.service.Version, Metadata: map[string]string{}}
	if id.Version == "" {
		id.Version = "0.0.0"
	}
	answer := micro.Stats{ServiceIdentity: id, Type: micro.StatsResponseType, Started: m.service.Started.UTC(), Endpoints: []*micro.EndpointStats{}}
	if m.calls != nil {
		answer.Endpoints = m.calls.stats.endpoints(m.service.Name)
	}
	body, _ := json.Marshal(answer) // strings, numbers and a time always marshal
	return body
}

// hide stops replying.
func (p *presence) hide() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sub := range p.subs {
		_ = sub.Unsubscribe() // it fails only if the connection is closed
	}
	p.subs = []*natsgo.Subscription{}
}

// stats counts the calls of a member by method. The map does not change.
type stats map[string]*methodStats

type methodStats struct {
	calls atomic.Int64
	took  atomic.Int64 // of all calls together, in ns
}

// newStats has an entry for each declared method. It has none for other names,
// because callers could make up any number of them.
func newStats(methods []broker.Method) stats {
	s := make(stats, len(methods))
	for _, m := range methods {
		s[m.Name] = &methodStats{}
	}
	return s
}

func (s stats) count(method string, took time.Duration) {
	if m, ok := s[method]; ok {
		m.calls.Add(1)
		m.took.Add(int64(took))
	}
}

func (s stats) endpoints(service string) []*micro.EndpointStats {
	list := make([]*micro.EndpointStats, 0, len(s))
	for name, m := range s {
		calls, took := m.calls.Load(), time.Duration(m.took.Load())
		e := &micro.EndpointStats{Name: name, Subject: callSubject(service, name), QueueGroup: queueGroup, NumRequests: int(calls), ProcessingTime: took}
		if calls > 0 {
			e.AverageProcessingTime = took / time.Duration(calls)
		}
		list = append(list, e)
	}
	return list
}
