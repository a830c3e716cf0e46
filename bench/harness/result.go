package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Result is one run, as it is kept in a file.
type Result struct {
	Date    time.Time `json:"date"`
	Machine Machine   `json:"machine"`
	Plan    Plan      `json:"plan"`
	Series  []*Series `json:"series"`
	Missing []Missing `json:"missing,omitempty"`
	Micro   []string  `json:"micro,omitempty"` // lines of go test -bench
}

// Series are the turns of one group with one size and number of callers.
type Series struct {
	Group   string `json:"group"`
	Base    string `json:"base"`
	Size    int    `json:"size"`
	Callers int    `json:"callers"`
	Goals   []Goal `json:"goals,omitempty"`
	Sets    []Set  `json:"sets"`
}

// Set are turns that lie side by side: of the base and of the cases that are
// compared with it.
type Set []*Turn

// Missing is a case that could not be had.
type Missing struct {
	Group  string `json:"group"`
	Case   string `json:"case"`
	Reason string `json:"reason"`
}

func (s *Series) String() string {
	return fmt.Sprintf("%s, %d bytes, %d callers", s.Group, s.Size, s.Callers)
}

// Save writes the result and its table into dir, named for the date, and
// returns the table's path.
func (r *Result) Save(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	return path + ".md", os.WriteFile(path+".md", []byte(r.Table()), 0o644)
}

// Load reads a result that was saved.
func Load(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	return &r, json.Unmarshal(text, &r)
}

// addTo puts what an earlier result at path has before what r has, unless r
// has it anew. Without an earlier one it does nothing.
func (r *Result) addTo(path string) {
	earlier, err := Load(path)
	if err != nil {
		return
	}
	measured := func(group string) bool {
		return slices.ContainsFunc(r.Series, func(s *Series) bool { return s.Group == group })
	}
	r.Missing = append(slices.DeleteFunc(earlier.Missing, func(old Missing) bool { return measured(old.Group) }), r.Missing...)
	r.Series = append(slices.DeleteFunc(earlier.Series, func(old *Series) bool {
		return slices.ContainsFunc(r.Series, func(s *Series) bool { return s.String() == old.String() })
	}), r.Series...)
	if r.Micro == nil {
		r.Micro = earlier.Micro
	}
}
