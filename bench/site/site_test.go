package site

import (
	"strings"
	"testing"
	"time"

	"github.com/enoki-go/enoki/bench/harness"
)

// Every case must do the whole work: what is sent is stored, told once, and
// can be read.
func TestCasesAnswer(t *testing.T) {
	for _, g := range Groups() {
		for _, c := range g.Cases {
			if c.Dial == nil || strings.HasSuffix(g.Name, "-apart") {
				continue // these need processes of the program bench
			}
			w := &harness.Work{Dir: t.TempDir(), Size: 128}
			var err error
			if w.Address, err = c.Serve(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			op, err := c.Dial(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
				if err = op(t.Context()); err == nil || time.Now().After(deadline) {
					break
				}
			}
			if err != nil {
				t.Errorf("%s/%s: %v", g.Name, c.Name, err)
			}
		}
	}
}
