// Package uuid makes random identifiers. One form is the text that Nameko uses
// for correlation ids, reply keys and call ids; the other is shorter.
package uuid

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Size is the length of the text form.
const Size = 36

// New returns a random UUID, version 4 of RFC 9562, as 36 characters of text.
func New() string {
	var text [Size]byte
	return string(Append(text[:0]))
}

// Append appends a new UUID to b.
func Append(b []byte) []byte {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	b = hex.AppendEncode(b, id[0:4])
	for _, part := range [][]byte{id[4:6], id[6:8], id[8:10], id[10:16]} {
		b = hex.AppendEncode(append(b, '-'), part)
	}
	return b
}

// Short returns 12 random letters and digits, 60 bits: for names that people
// type.
func Short() string { return strings.ToLower(rand.Text()[:12]) }
