package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// profileTime is long for some thousand samples, a hundred a second and core.
const profileTime = 3 * time.Second

func (p *pair) isEnoki() bool { return strings.HasPrefix(p.Name, "enoki") }

// profile takes one more turn with a CPU profile of client and service, and
// leaves what go tool pprof says of each as text in dir.
func (p *pair) profile(dir string, callers int) error {
	name := filepath.Join(dir, strings.ReplaceAll(p.work.Case, "/", "-")+"-"+strconv.Itoa(p.work.Size))
	client, service := name+"-client", name+"-service"
	if _, err := p.count(service + ".pprof"); err != nil {
		return err
	}
	o := order{Callers: callers, Time: profileTime, Profile: client + ".pprof"}
	if err := p.client.ask(o, &report{}, o.Time); err != nil {
		return err
	}
	if _, err := p.count(service + ".pprof"); err != nil {
		return err
	}
	for _, base := range []string{client, service} {
		if err := writeTop(base); err != nil {
			return err
		}
	}
	return nil
}

// writeTop turns BASE.pprof, if there is one, into BASE.txt.
func writeTop(base string) error {
	if _, err := os.Stat(base + ".pprof"); err != nil {
		return nil // a case without a service
	}
	text, err := exec.Command("go", "tool", "pprof", "-top", "-cum", "-nodecount=60", base+".pprof").Output()
	if err != nil {
		return err
	}
	return os.WriteFile(base+".txt", text, 0o644)
}
