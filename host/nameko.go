package host

import (
	"strings"
)

// namekoNames are keys of Nameko's configuration files and the settings that
// mean the same.
var namekoNames = map[string]string{
	"AMQP_URI":             "broker",
	"WEB_SERVER_ADDRESS":   "http",
	"max_workers":          "workers",
	"parent_calls_tracked": "calls-tracked",
	"rpc_exchange":         "rpc-exchange",
	"HEARTBEAT":            "heartbeat",
	"ACCEPT":               "accept",
	"LOGIN_METHOD":         "login-method",

	"AUTO_DELETE_EVENT_EXCHANGES": "auto-delete-event-exchanges",
	"DECLARE_EVENT_EXCHANGES":     "declare-event-exchanges",
}

// namekoIgnored are keys of Nameko that ask for nothing here, and why.
var namekoIgnored = map[string]string{
	"LOGGING":               "the log is set by log-level and log-format",
	"TRANSPORT_OPTIONS":     "a lost connection is always made again",
	"SERIALIZERS":           "a serializer of your own goes into enoki.Options, in Go",
	"PREFETCH_COUNT":        "a service takes as many messages as it has workers",
	"SERVICE_CONTAINER_CLS": "there are no Python classes",
}

// namekoTLS are the keys of Nameko's AMQP_SSL and the settings they are.
var namekoTLS = map[string]string{
	"ca_certs":        "tls-ca",
	"certfile":        "tls-cert",
	"keyfile":         "tls-key",
	"server_hostname": "tls-name",
}

// isNameko reports whether a key is one that only files of Nameko's have. Such
// a file has keys of extensions and of the program beside Nameko's own, which
// nobody declares.
func isNameko(p pair) bool {
	key := p.key.text
	return namekoNames[key] != "" || namekoIgnored[key] != "" || key == "AMQP_SSL"
}

// takeNameko takes a key of Nameko that is more than another name of a
// setting. It reports whether the key is one.
func (l *layers) takeNameko(p pair) (bool, error) {
	key := p.key.text
	if why, ok := namekoIgnored[key]; ok {
		l.config.ignored = append(l.config.ignored, key+": "+why)
		return true, nil
	}
	if key == "AMQP_SSL" {
		return true, l.takeTLS(p.value)
	}
	return false, nil
}

// takeTLS takes AMQP_SSL, which is true or a mapping of what Python's ssl
// module wants.
func (l *layers) takeTLS(n node) error {
	switch v := n.value.(type) {
	case nil: // nothing would mean: without TLS
		return n.place.errorf("AMQP_SSL: %w", errNoValue)
	case bool:
		l.config.tls = v
		return nil
	case []pair:
		l.config.tls = true
		for _, p := range v {
			if err := l.takeTLSKey(p); err != nil {
				return err
			}
		}
		return nil
	}
	return n.place.errorf("AMQP_SSL: want true, false or a mapping, have %s", n.kind())
}

func (l *layers) takeTLSKey(p pair) error {
	key := p.key.text
	if name, ok := namekoTLS[key]; ok {
		return l.byName(name).take("AMQP_SSL."+key, p.value)
	}
	switch key {
	case "ssl_version", "ciphers":
		l.config.ignored = append(l.config.ignored, "AMQP_SSL."+key+": TLS 1.2 or newer is spoken, with the ciphers of its standard library")
		return nil
	case "cert_reqs":
		// ssl.CERT_REQUIRED is 2 in Python.
		if !strings.HasSuffix(p.value.text, "CERT_REQUIRED") && p.value.text != "2" {
			return p.value.place.errorf("AMQP_SSL.cert_reqs: the broker's certificate is always verified; leave this out and give ca_certs")
		}
		return nil
	}
	known := append(keysOf(namekoTLS), "cert_reqs", "ssl_version", "ciphers")
	return p.key.place.errorf("unknown key AMQP_SSL.%s%s", key, didYouMean(key, known))
}

// webAddress gives Nameko's [host:]port the form that http has. Without a host
// it means every network.
func webAddress(n node) node {
	if n.text != "" && !strings.Contains(n.text, ":") {
		n.text = "0.0.0.0:" + n.text
	}
	return n
}

// oneURI joins a list of URIs, one for each host of a cluster, as kombu writes
// several in one.
func oneURI(n node) node {
	list, isList := n.value.([]node)
	if !isList || len(list) == 0 {
		return n
	}
	uris := make([]string, len(list))
	for i, item := range list {
		if (textValue{&uris[i]}).take(item) != nil {
			return n // which tells that it wants text
		}
	}
	n.text = strings.Join(uris, ";")
	n.value = n.text
	return n
}

// askForTLS makes the scheme of a RabbitMQ URL say what AMQP_SSL says.
func askForTLS(brokerURL string) string {
	for _, scheme := range []string{"amqp://", "pyamqp://"} {
		if rest, ok := strings.CutPrefix(brokerURL, scheme); ok {
			return "amqps://" + rest
		}
	}
	return brokerURL
}
