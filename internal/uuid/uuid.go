// Package uuid makes random identifiers in the text form that Nameko uses for
// correlation ids, reply keys and call ids.
package uuid

import (
	"crypto/rand"
	"encoding/hex"
)

// New returns a random UUID, version 4 of RFC 9562, as 36 characters of text.
func New() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80

	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
