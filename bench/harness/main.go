package harness

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Main runs what the arguments ask for: the whole benchmark, or a role in it.
func Main(groups []Group, args []string, out io.Writer) error {
	if len(args) == 2 && (args[0] == serviceRole || args[0] == clientRole) {
		return runRole(groups, args[0], args[1])
	}
	return runPlan(groups, args, out)
}

func runRole(groups []Group, role, text string) error {
	var w Work
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	c, err := find(groups, w.Case)
	if err != nil {
		return err
	}
	if role == serviceRole {
		return runService(context.Background(), c, &w)
	}
	return runClient(context.Background(), c, &w)
}

func find(groups []Group, name string) (*Case, error) {
	for i := range groups {
		for j := range groups[i].Cases {
			if c := &groups[i].Cases[j]; groups[i].Name+"/"+c.Name == name {
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("no case %q", name)
}

func runPlan(groups []Group, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	plan := Plan{Warm: 200 * time.Millisecond}
	flags.BoolVar(&plan.Quick, "quick", false, "only 128 bytes and 16 callers")
	flags.IntVar(&plan.Rounds, "rounds", 6, "turns of each case")
	flags.DurationVar(&plan.Turn, "turn", 700*time.Millisecond, "length of a turn")
	flags.StringVar(&plan.Profiles, "profiles", "", "directory for CPU profiles of Enoki's cases")
	only := flags.String("run", everything, "regular expression: which cases, as GROUP/CASE; bases run too")
	results := flags.String("results", "results", "directory for the results")
	add := flags.Bool("add", false, "add to the result of that name, in the place of what it has of the same kind")
	table := flags.String("table", "", "file of a result: print its table only")
	guard := flags.String("guard", "", "file of ratios: measure its cases only, and fail when one has fallen")
	write := flags.Bool("guard-write", false, "store in the file of -guard what is measured now")
	name := flags.String("name", time.Now().UTC().Format("2006-01-02-1504"), "name of the result")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	switch file := filepath.Join(root, *guard); {
	case *table != "":
		return printTable(*table, out)
	case *guard != "" && *write:
		return writeGuard(groups, file, root)
	case *guard != "":
		return checkGuard(groups, file, root, out)
	}
	chosen, err := choose(groups, *only)
	if err != nil {
		return err
	}
	result, err := Run(plan, chosen, root, out)
	var micro error
	if *only == everything {
		result.Micro, micro = microbenchmarks(filepath.Dir(root))
	}
	if *add {
		result.addTo(filepath.Join(*results, *name+".json"))
	}
	path, saved := result.Save(*results, *name)
	fmt.Fprintf(out, "\n%s\nkept in %s and .json\n", result.Table(), path)
	return errors.Join(err, micro, saved)
}

func printTable(path string, out io.Writer) error {
	result, err := Load(path)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, result.Table())
	return err
}

// everything is the pattern of all cases.
const everything = "."

// choose returns the groups with the cases that fit the pattern, and their
// bases.
func choose(groups []Group, pattern string) ([]Group, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var out []Group
	var names []string
	for _, g := range groups {
		all := g.Cases
		g.Cases = nil
		fits := false
		for _, c := range all {
			full := g.Name + "/" + c.Name
			names = append(names, full)
			fits = fits || re.MatchString(full)
			if re.MatchString(full) || c.Name == g.Base {
				g.Cases = append(g.Cases, c)
			}
		}
		if fits {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no case fits %q; have %s", pattern, strings.Join(names, ", "))
	}
	return out, nil
}
