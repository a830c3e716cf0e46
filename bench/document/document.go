// Package document has what travels in the cases, a document of a given size.
package document

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Document is what travels.
type Document struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Count int      `json:"count"`
	Score float64  `json:"score"`
	Tags  []string `json:"tags"`
	Text  string   `json:"text"`
}

// New returns a document of size bytes in JSON.
func New(size int) (Document, error) {
	d := Document{ID: "7434029", Name: "Ada Lovelace", Count: 42, Score: 0.75, Tags: []string{"a", "bc"}}
	text, err := json.Marshal(d)
	if err != nil {
		return d, err
	}
	if len(text) > size {
		return d, fmt.Errorf("a document has at least %d bytes, not %d", len(text), size)
	}
	d.Text = strings.Repeat("lorem ipsum ", size)[:size-len(text)]
	return d, nil
}

// Same returns an error when the document that came back is not the one sent.
func Same(sent, got *Document) error {
	if got.ID != sent.ID || got.Count != sent.Count || len(got.Text) != len(sent.Text) || len(got.Tags) != len(sent.Tags) {
		return fmt.Errorf("sent %v, got back %v", *sent, *got)
	}
	return nil
}
