package harness

import (
	"os"
	"runtime/pprof"
)

// profile is the CPU profile of this process, while one is taken.
type profile struct{ file *os.File }

// toggle begins a profile that goes to path, or ends the one that runs. An
// empty path does nothing.
func (p *profile) toggle(path string) error {
	if path == "" {
		return nil
	}
	if p.file != nil {
		pprof.StopCPUProfile()
		err := p.file.Close()
		p.file = nil
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	p.file = f
	return pprof.StartCPUProfile(f)
}
