package rpc

import (
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/enoki-go/enoki/bench/harness"
	"github.com/enoki-go/enoki/internal/testserver"
)

// nameko is a case with a version of Nameko on both sides. Its Python is
// installed at first use.
func nameko(version string) harness.Case {
	python := func(w *harness.Work) (string, error) {
		return testserver.InstallPython("nameko-"+version,
			filepath.Join(w.Root, "..", "test", "interop", "python", "requirements-"+version+".txt"))
	}
	role := func(role string) func(*harness.Work) (*exec.Cmd, error) {
		return func(w *harness.Work) (*exec.Cmd, error) {
			program, err := python(w)
			if err != nil {
				return nil, err
			}
			peer := filepath.Join(w.Root, "rpc", "nameko", "peer.py")
			return exec.Command(program, peer, role, w.Broker, w.Name(), strconv.Itoa(w.Size)), nil
		}
	}
	return harness.Case{Name: "nameko-" + version, About: "Nameko " + version + " on both sides", Broker: harness.RabbitMQ,
		Program: role("service"), Client: role("client")}
}
