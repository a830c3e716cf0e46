package testserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// rabbitPrograms is where packages put RabbitMQ's own scripts. Those in PATH
// on Debian switch to another user first and can't be used for a private node.
var rabbitPrograms = []string{
	"/usr/lib/rabbitmq/bin",           // Debian, Fedora
	"/opt/homebrew/opt/rabbitmq/sbin", // Homebrew on ARM
	"/usr/local/opt/rabbitmq/sbin",    // Homebrew on Intel
	"/usr/local/lib/rabbitmq/sbin",    // the generic archive
	"/opt/rabbitmq/sbin",              // the official container
}

// RabbitMQ starts a private RabbitMQ node that lives until the test ends. It
// takes seconds to start: a package with several tests had better start one
// node in TestMain with StartRabbitMQ.
func RabbitMQ(t testing.TB) *Server {
	t.Helper()
	s, err := StartRabbitMQ()
	return forTest(t, s, err)
}

// RabbitMQWith is RabbitMQ with settings.
func RabbitMQWith(t testing.TB, settings RabbitMQSettings) *Server {
	t.Helper()
	s, err := startRabbitMQ(settings)
	return forTest(t, s, err)
}

// RabbitMQSettings are what a node has beside what every private node has.
type RabbitMQSettings struct {
	Plugins []string // to be enabled
	Config  []string // lines of rabbitmq.conf
}

// StartRabbitMQ is RabbitMQ for a TestMain; the caller calls Stop. The error
// is exec.ErrNotFound when RabbitMQ is not installed.
func StartRabbitMQ() (*Server, error) { return startRabbitMQ(RabbitMQSettings{}) }

func startRabbitMQ(settings RabbitMQSettings) (*Server, error) {
	return startNode(&rabbitMQ{settings: settings})
}

func startNode(k *rabbitMQ) (*Server, error) {
	url := func(port int) string { return "amqp://guest:guest@" + loopback(port) + "/" }
	return start("rabbitmq", k, url)
}

// RabbitMQCluster starts so many nodes that are one cluster, and live until the
// test ends. Each can be killed and started again by itself.
func RabbitMQCluster(t testing.TB, nodes int) []*Server {
	t.Helper()
	var all []*Server
	for range nodes {
		k := &rabbitMQ{}
		if len(all) > 0 {
			k.epmdPort = all[0].kind.(*rabbitMQ).epmdPort
		}
		s, err := startNode(k)
		all = append(all, forTest(t, s, err))
	}
	for _, s := range all[1:] {
		for _, args := range [][]string{{"stop_app"}, {"reset"}, {"join_cluster", nodeName(all[0])}, {"start_app"}} {
			if _, err := s.Ctl(args...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// NodeName returns the name of a RabbitMQ node in its cluster.
func (s *Server) NodeName() string { return nodeName(s) }

func nodeName(s *Server) string { return "enoki" + strconv.Itoa(s.port) + "@localhost" }

// Ctl runs rabbitmqctl on this node, e.g. Ctl("add_vhost", "shop"), and
// returns what it printed.
func (s *Server) Ctl(args ...string) (string, error) {
	k, ok := s.kind.(*rabbitMQ)
	if !ok {
		return "", fmt.Errorf("rabbitmqctl %s: %s is no RabbitMQ", strings.Join(args, " "), s.url)
	}
	out, err := k.run(s, "rabbitmqctl", append([]string{"--quiet"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("rabbitmqctl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// rabbitRoot, of the environment, is a root directory with another RabbitMQ than
// the machine's, as scripts/rabbitmq4 makes it. Every node is started in it then.
const rabbitRoot = "ENOKI_RABBITMQ_ROOT"

// rabbitMQ is one node. It gets an epmd (Erlang's port mapper) of its own:
// the machine's common one would know the node by name, and outlive it.
type rabbitMQ struct {
	settings RabbitMQSettings
	root     string   // see rabbitRoot; empty for the machine's RabbitMQ
	programs string   // the directory of RabbitMQ's scripts
	env      []string // of the node and of rabbitmqctl
	epmdPort int      // of the epmd of its cluster, which the first node starts; 0 before
	prepared bool
}

func (k *rabbitMQ) command(s *Server) (*exec.Cmd, error) {
	if !k.prepared {
		if err := k.prepare(s); err != nil {
			return nil, err
		}
		k.prepared = true
	}
	cmd := k.run(s, "rabbitmq-server")
	// With this variable the script becomes the node instead of its parent,
	// so that killing it kills the node.
	cmd.Env = append(cmd.Env, "detached=1")
	return cmd, nil
}

// run returns the command that runs one of RabbitMQ's scripts on this node.
func (k *rabbitMQ) run(s *Server, script string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(k.programs, script), args...)
	cmd.Env = k.env[:len(k.env):len(k.env)]
	cmd.Dir = s.dir
	if k.root != "" {
		within(cmd, k.root)
	}
	return cmd
}

// prepare writes the node's configuration and starts its epmd.
func (k *rabbitMQ) prepare(s *Server) error {
	if err := k.find(); err != nil {
		return err
	}
	epmd, err := exec.LookPath("epmd")
	if err != nil {
		return err
	}
	distPort, err := s.hold()
	if err != nil {
		return err
	}
	hasEpmd := k.epmdPort != 0
	if !hasEpmd {
		if k.epmdPort, err = s.hold(); err != nil {
			return err
		}
	}
	k.env = rabbitEnv(s, k.epmdPort, distPort)
	for name, text := range k.files() {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if hasEpmd {
		return nil
	}
	p, err := startProcess(exec.Command(epmd, "-address", "127.0.0.1", "-port", strconv.Itoa(k.epmdPort)),
		filepath.Join(s.dir, "epmd.log"))
	if err != nil {
		return err
	}
	s.sidecars = append(s.sidecars, p)
	return nil
}

func (k *rabbitMQ) find() error {
	k.root = os.Getenv(rabbitRoot)
	for _, dir := range rabbitPrograms {
		if _, err := os.Stat(filepath.Join(k.root, dir, "rabbitmq-server")); err == nil {
			k.programs = dir
			return nil
		}
	}
	if k.root != "" {
		return fmt.Errorf("no rabbitmq-server in %s, which %s names; scripts/rabbitmq4 makes such a directory", k.root, rabbitRoot)
	}
	return fmt.Errorf("no rabbitmq-server in %s (on Debian: apt-get install rabbitmq-server): %w",
		strings.Join(rabbitPrograms, ", "), exec.ErrNotFound)
}

// files are the files of the node's directory, by name. The limits keep alarms
// off on a small or full machine; tests raise alarms by Ctl. What a dead letter
// worker has sent when the node is killed, it sends again after 2 s, not 180.
func (k *rabbitMQ) files() map[string]string {
	config := append([]string{"disk_free_limit.absolute = 1MB", "vm_memory_high_watermark.absolute = 4GB"}, k.settings.Config...)
	return map[string]string{
		".erlang.cookie":  "enoki-test",
		"advanced.config": "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 2000}]}].\n",
		"enabled_plugins": "[" + strings.Join(k.settings.Plugins, ",") + "].\n",
		"env.conf":        "",
		"rabbitmq.conf":   strings.Join(config, "\n") + "\n",
	}
}

func rabbitEnv(s *Server, epmdPort, distPort int) []string {
	loopbackOnly := "-kernel inet_dist_use_interface {127,0,0,1}"
	in := func(name string) string { return filepath.Join(s.dir, name) }
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.dir, // where Erlang looks for the cookie
		"LANG=C.UTF-8",
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT=" + strconv.Itoa(epmdPort),
		"RABBITMQ_NODENAME=" + nodeName(s),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=" + strconv.Itoa(s.port),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(distPort),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + loopbackOnly,
		"RABBITMQ_CTL_ERL_ARGS=" + loopbackOnly,
		"RABBITMQ_CONF_ENV_FILE=" + in("env.conf"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + in("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + in("mnesia"),
		"RABBITMQ_LOG_BASE=" + in("log"),
		"RABBITMQ_PID_FILE=" + in("pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + in("generated"),
		"RABBITMQ_FEATURE_FLAGS_FILE=" + in("feature_flags"),
	}
}

// probe offers AMQP 0-9-1 and takes any method frame (type 1) for an answer.
func (*rabbitMQ) probe(conn net.Conn) error {
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	return expect(conn, "\x01")
}
