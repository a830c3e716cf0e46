package interop_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// python is a version of Nameko: the process that peers are forked from.
type python struct {
	version string
	socket  string
	output  string // file of what they all print
}

func startPython(t *testing.T, version string) *python {
	t.Helper()
	program := virtualEnv(t, version)
	dir, err := os.MkdirTemp("", "enoki-nameko-") // t.TempDir may be too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &python{version: version, socket: filepath.Join(dir, "s"), output: filepath.Join(dir, "output")}
	out, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() // the process has its own
	cmd := exec.Command(program, filepath.Join("python", "peer.py"), p.socket)
	cmd.Stderr = out
	stdin, stdoutErr := cmd.StdinPipe()
	stdout, stdinErr := cmd.StdoutPipe()
	if err := errors.Join(stdinErr, stdoutErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // its sign to end
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the end of what Nameko %s printed:\n%s", version, p.printed())
		}
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("Nameko %s did not start: %v\n%s", version, err, p.printed())
	}
	return p
}

// printed returns the end of what the peers of this version printed.
func (p *python) printed() string {
	text, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}

// pythonPeer is a process with Nameko.
type pythonPeer struct {
	python *python
	tap    *tap
	pid    int
	conn   net.Conn
	book   *notebook
	ended  chan struct{} // closed when the process has ended

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer // by number of the command; nil when the process has ended
}

type answer struct {
	ID    int             `json:"id"`
	OK    json.RawMessage `json:"ok"`
	Error *pythonError    `json:"error"`
	Note  *note           `json:"note"`
}

// pythonError is an error as its catcher in Python sees it.
type pythonError struct {
	Class string `json:"class"`
	Path  string `json:"path"`
	Text  string `json:"text"`
	Args  []any  `json:"args"`
	Type  string `json:"type"`  // of a RemoteError
	Value string `json:"value"` // of a RemoteError
}

func (e *pythonError) Error() string { return e.Path + ": " + e.Text }

func (p *python) peer(t testing.TB, broker string, s peerSpec) (*pythonPeer, error) {
	t.Helper()
	conn, err := net.Dial("unix", p.socket)
	if err != nil {
		return nil, fmt.Errorf("fork a Nameko %s: %w\n%s", p.version, err, p.printed())
	}
	peer := &pythonPeer{python: p, tap: newTap(t, broker), conn: conn, book: newNotebook(),
		ended: make(chan struct{}), waiting: map[int]chan answer{}}
	go peer.listen()
	t.Cleanup(func() { _ = conn.Close() })
	config := map[string]any{"AMQP_URI": "pyamqp://guest:guest@" + peer.tap.address() + "/" + s.vhost}
	if s.login != nil {
		maps.Copy(config, s.login.config())
	}
	if s.workers > 0 {
		config["max_workers"], config["PREFETCH_COUNT"] = s.workers, s.workers
	}
	if s.heartbeat > 0 {
		config["HEARTBEAT"] = int(s.heartbeat.Seconds())
	}
	if s.tracked > 0 {
		config["parent_calls_tracked"] = s.tracked
	}
	if s.web != "" {
		config["WEB_SERVER_ADDRESS"] = s.web
	}
	if s.autoDelete {
		config["AUTO_DELETE_EVENT_EXCHANGES"] = true
	}
	if s.undeclared {
		config["DECLARE_EVENT_EXCHANGES"] = false
	}
	if s.serializer != "" {
		config["serializer"] = s.serializer
	}
	if len(s.accept) > 0 {
		config["ACCEPT"] = s.accept
	}
	config["SERIALIZERS"] = map[string]any{backwards: map[string]any{"encoder": "interop.encode", "decoder": "interop.decode",
		"content_type": backwardsType, "content_encoding": "utf-8"}}
	return peer, peer.into("configure", map[string]any{"config": config}, &peer.pid)
}

// listen reads answers and notes until the process ends.
func (p *pythonPeer) listen() {
	defer p.lost()
	lines := bufio.NewReader(p.conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			panic(fmt.Sprintf("the Nameko peer wrote %q: %v", line, err))
		}
		if a.Note != nil {
			p.book.write(*a.Note)
			continue
		}
		p.mu.Lock()
		to := p.waiting[a.ID]
		delete(p.waiting, a.ID)
		p.mu.Unlock()
		if to != nil {
			to <- a
		}
	}
}

func (p *pythonPeer) lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, to := range p.waiting {
		close(to)
	}
	p.waiting = nil
	close(p.ended)
}

var errEnded = errors.New("the Nameko process has ended")

// do has the process do something and returns its answer.
func (p *pythonPeer) do(what string, with any) (json.RawMessage, error) {
	command := map[string]any{}
	if with != nil {
		text, err := json.Marshal(with)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &command); err != nil {
			return nil, err
		}
		if args, ok := with.(callSpec); ok { // numbers as they are
			command["args"], command["kwargs"] = args.Args, args.Kwargs
		}
	}
	to := make(chan answer, 1)
	p.mu.Lock()
	if p.waiting == nil {
		p.mu.Unlock()
		return nil, errEnded
	}
	p.last++
	p.waiting[p.last] = to
	maps.Copy(command, map[string]any{"id": p.last, "do": what})
	line, err := json.Marshal(command)
	if err == nil {
		_, err = p.conn.Write(append(line, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a, ok := <-to:
		if !ok {
			return nil, errEnded
		}
		if a.Error != nil {
			return nil, a.Error
		}
		return a.OK, nil
	case <-time.After(2 * patience):
		return nil, fmt.Errorf("the Nameko process did not answer %q within %v", what, 2*patience)
	}
}

func (p *pythonPeer) into(what string, with, result any) error {
	out, err := p.do(what, with)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, result)
}

func (p *pythonPeer) language() string { return "Python" }
func (p *pythonPeer) wire() *tap       { return p.tap }
func (p *pythonPeer) notes() *notebook { return p.book }

func (p *pythonPeer) serve(s serviceSpec) (instance string, err error) {
	err = p.into("serve", map[string]any{"spec": s}, &instance)
	return instance, err
}

func (p *pythonPeer) stop(instance string) error {
	_, err := p.do("stop", map[string]any{"instance": instance})
	return err
}

func (p *pythonPeer) abandon(instance string) {
	_, _ = p.do("kill_container", map[string]any{"instance": instance}) // it may have died before
}

func (p *pythonPeer) open(c clientSpec) error {
	_, err := p.do("open", c)
	return err
}

func (p *pythonPeer) call(c callSpec) outcome {
	out, err := p.do("call", c)
	return outcome{out, failureInPython(err)}
}

func (p *pythonPeer) interrupt(client string) {
	_, _ = p.do("interrupt", map[string]any{"client": client})
}

func (p *pythonPeer) shut(client string) error {
	_, err := p.do("close", map[string]any{"client": client})
	return err
}

func (p *pythonPeer) reopen(client string) error {
	_, err := p.do("reopen", map[string]any{"client": client})
	return err
}

func (p *pythonPeer) emit(e emitSpec) *failure {
	_, err := p.do("emit", e)
	return failureInPython(err)
}

func (p *pythonPeer) release(gate string) {
	_, _ = p.do("release", map[string]any{"gate": gate})
}

func (p *pythonPeer) end() {
	if process, err := os.FindProcess(p.pid); err == nil {
		_ = process.Kill() // it may have ended
	}
	<-p.ended
	p.tap.close()
}

// failureInPython puts an error of Nameko into the words of both languages.
func failureInPython(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{kind: other, local: err.Error(), value: err.Error()}
	var e *pythonError
	if !errors.As(err, &e) {
		return f
	}
	f.value, f.args, f.typ, f.path, f.own = e.Text, e.Args, e.Class, e.Path, e.Path
	switch {
	case e.Class == remoteError:
		f.kind, f.typ, f.value, f.path = remoteError, e.Type, e.Value, ""
	case e.Class == "RpcTimeout":
		f.kind = timedOut
	case e.Class == "ReplyQueueExpiredWithPendingReplies":
	case strings.HasPrefix(e.Path, "nameko.exceptions."):
		f.kind = e.Class
	case e.Class == "KeyboardInterrupt":
		f.kind = interrupted
	}
	return f
}
