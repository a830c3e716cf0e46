package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Guard is the ratio that each case, GROUP/CASE, was measured with: calls a
// second of CPU of client and service, against the base of its group. CPU of
// one's own is what a busy machine changes least.
type Guard map[string]float64

// guardPlan is short turns, many of them: what else the machine does comes and
// goes within seconds.
var guardPlan = Plan{Quick: true, Rounds: 15, Turn: 200 * time.Millisecond, Warm: 500 * time.Millisecond}

// fallen is the share of its ratio that a case must keep.
const fallen = 0.75

// checkGuard measures the cases that the file at path names and returns an
// error when one of them stands below three quarters of its ratio, twice.
func checkGuard(groups []Group, path, root string, out io.Writer) error {
	guard, err := loadGuard(path)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(guard))
	for try := range 2 {
		measured, err := guard.measure(groups, names, root)
		if err != nil {
			return err
		}
		if names = guard.below(names, measured, out); len(names) == 0 {
			return nil
		}
		if try == 0 {
			fmt.Fprintf(out, "once more: %s\n", strings.Join(names, ", "))
		}
	}
	return fmt.Errorf("slower than before against the raw client by hand: %s; profile it (bench/README.md), or measure and store anew with -guard-write",
		strings.Join(names, ", "))
}

// writeGuard measures the cases anew and stores their ratios.
func writeGuard(groups []Group, path, root string) error {
	guard, err := loadGuard(path)
	if err != nil {
		return err
	}
	measured, err := guard.measure(groups, slices.Sorted(maps.Keys(guard)), root)
	if err != nil {
		return err
	}
	for name, ratio := range measured {
		guard[name] = float64(int(ratio.Median*100)) / 100
	}
	text, err := json.MarshalIndent(guard, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func loadGuard(path string) (Guard, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g Guard
	return g, json.Unmarshal(text, &g)
}

// below returns which of the names have fallen, and says of each how it stands.
func (guard Guard) below(names []string, measured map[string]Ratio, out io.Writer) []string {
	var low []string
	for _, name := range names {
		ratio := measured[name]
		fmt.Fprintf(out, "%s: %s, was %.2f, least %.2f\n", name, ratio, guard[name], fallen*guard[name])
		if ratio.Median < fallen*guard[name] {
			low = append(low, name)
		}
	}
	return low
}

func (guard Guard) measure(groups []Group, names []string, root string) (map[string]Ratio, error) {
	chosen, err := choose(groups, "^("+strings.Join(names, "|")+")$")
	if err != nil {
		return nil, err
	}
	result, err := Run(guardPlan, chosen, root, io.Discard)
	if err != nil {
		return nil, err
	}
	for _, m := range result.Missing {
		return nil, fmt.Errorf("%s/%s can't be had: %s", m.Group, m.Case, m.Reason)
	}
	measured := map[string]Ratio{}
	for _, s := range result.Series {
		for _, name := range s.cases()[1:] {
			measured[s.Group+"/"+name] = s.Against(name, s.Base, PerOwnCPU)
		}
	}
	return measured, nil
}
