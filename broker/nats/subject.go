package nats

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/enoki-go/enoki/broker"
)

const (
	callPrefix    = "enoki.rpc."
	directPrefix  = "enoki.direct." // to one instance
	sparePrefix   = "enoki.spare."  // between the instances of a service
	cancelPrefix  = "enoki.cancel."
	eventPrefix   = "enoki.events."
	deadPrefix    = "enoki.dead."
	restPrefix    = deadPrefix + "%rest." // of the ends of dead letters; no name becomes that token
	attemptPrefix = "enoki.attempts."
	laterPrefix   = "enoki.later." // of events that wait for their schedule
	duePrefix     = "enoki.due."   // of those that wait no longer, or for us
	lockPrefix    = "enoki.locks."

	// queueGroup is the group in which the instances of a service share calls.
	queueGroup = "enoki"
)

func callSubject(service, method string) string {
	return callPrefix + token(service) + "." + token(method)
}

// requestSubject is where a request goes: to the service, or to one instance.
func requestSubject(service, method string, req *broker.Message) string {
	if req.Instance == "" {
		return callSubject(service, method)
	}
	return directPrefix + token(service) + "." + token(req.Instance) + "." + token(method)
}

// directSubjects are those of all calls to one instance.
func directSubjects(s broker.Service) string {
	return directPrefix + token(s.Name) + "." + token(s.ID) + ".*"
}

func eventSubject(source, event string) string {
	return eventPrefix + token(source) + "." + token(event)
}

// eventSubjects are those of all events of source.
func eventSubjects(source string) string { return eventPrefix + token(source) + ".>" }

// sourceOf returns the source that a subject made by eventSubject names.
func sourceOf(subject string) string {
	source, _, _ := strings.Cut(strings.TrimPrefix(subject, eventPrefix), ".")
	return name(source)
}

func deadSubject(service, handler, id string) string {
	return deadPrefix + token(service) + "." + token(handler) + "." + token(id)
}

// deadSubjects is the filter for the dead letters of a service and a handler;
// an empty name stands for all.
func deadSubjects(service, handler string) string {
	if service == "" && handler == "" {
		return deadPrefix + ">"
	}
	any := func(name string) string {
		if name == "" {
			return "*"
		}
		return token(name)
	}
	return deadPrefix + any(service) + "." + any(handler) + ".>"
}

func attemptSubject(consumer string, sequence uint64) string {
	return fmt.Sprint(attemptPrefix, consumer, ".", sequence)
}

// methodOf returns the method that a subject made by callSubject names.
func methodOf(subject string) string {
	return name(subject[strings.LastIndexByte(subject, '.')+1:])
}

// consumerName names the JetStream consumer of a subscription.
func consumerName(s broker.Instance, sub broker.Subscription) string {
	parts := []string{"evt", token(sub.Source), token(sub.Event)}
	if sub.Mode != broker.Singleton {
		parts = append(parts, token(s.Name), token(sub.Handler))
	}
	if sub.Mode == broker.Broadcast {
		parts = append(parts, token(cmp.Or(sub.BroadcastID, s.ID)))
	}
	return strings.Join(parts, "+")
}

// emptyToken stands for the empty name, which NATS does not allow between two
// dots. No other name becomes it.
const emptyToken = "%"

// token makes name one token of a subject: a caller can't reach another
// service, or several, by a name with a dot or a wildcard in it.
func token(name string) string {
	if name == "" {
		return emptyToken
	}
	for i := range len(name) {
		if !plain(name[i]) {
			return escape(name)
		}
	}
	return name
}

// name returns the name that token has made one of; what a foreign sender has
// written in another way stays as it is.
func name(token string) string {
	if token == emptyToken {
		return ""
	}
	if name, err := url.PathUnescape(token); err == nil {
		return name
	}
	return token
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if plain(name[i]) {
			b.WriteByte(name[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", name[i])
		}
	}
	return b.String()
}
