// Package registerapi is the contract of the register service: who calls it
// and who serves it both import it.
package registerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Name is the name of the service.
const Name = "register"

// Register is the contract.
type Register struct {
	// CheckRegistered returns what was stored for a user, or nil when nobody
	// is registered with this id.
	CheckRegistered func(ctx context.Context, id UserID) (*Profile, error) `rpc:"check_registered" args:"u_id"`

	// Register gives an email its id and stores data with it. The message is
	// empty for a new user, AlreadyRegistered with the id of one who was
	// known, and Failed with no id when it was not possible, as without an email
	// or data, which a caller may also send as null.
	Register func(ctx context.Context, email string, data Profile) (id UserID, message string, err error) `rpc:"register" args:"email?,user_data?"`
}

// The messages of Register.
const (
	AlreadyRegistered = "already registered."
	Failed            = "register failed."
)

// UserID is the id of a user: text on the wire, and null when it is empty. It
// is read from an integer too, as ids are written on a command line and in
// the records of articles.
type UserID string

// MarshalJSON returns the id as text, or null.
func (id UserID) MarshalJSON() ([]byte, error) {
	if id == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(id))
}

// UnmarshalJSON reads text, an integer or null.
func (id *UserID) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' { // nearly always
		return json.Unmarshal(text, (*string)(id))
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
		*id = ""
		return nil
	case json.Number:
		if _, err := v.Int64(); err == nil {
			*id = UserID(v)
			return nil
		}
	}
	// This type of error is the one that gets the name of the field.
	return &json.UnmarshalTypeError{Value: fmt.Sprintf("%.40s", text), Type: reflect.TypeFor[string]()}
}

// Profile is what is stored of a user: any JSON value. The fields are what
// the comment site reads in it.
type Profile struct {
	Timestamp int64  `json:"timestamp"` // as the user's program sent it
	Email     string `json:"email"`
	Name      string `json:"name"`
	Language  string `json:"language"` // such as "en", "zh-TW"
	Country   string `json:"country"`  // such as "US", "TW"

	// received is what the Profile was read from, and so what it is written
	// as: programs in other languages keep more in it than the fields above.
	received json.RawMessage
}

// MarshalJSON returns what p was read from; changes to its fields since then
// do not count. A Profile that was not read has its fields.
func (p Profile) MarshalJSON() ([]byte, error) {
	if p.received != nil {
		return p.received, nil
	}
	type fields Profile
	return json.Marshal(fields(p))
}

// UnmarshalJSON reads any JSON value. A field that is not there, or of
// another type, is left empty.
func (p *Profile) UnmarshalJSON(text []byte) error {
	*p = Profile{received: bytes.Clone(text)}
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return nil // a value that is not an object is kept all the same
	}
	for name, target := range map[string]any{
		"timestamp": &p.Timestamp, "email": &p.Email, "name": &p.Name, "language": &p.Language, "country": &p.Country,
	} {
		_ = json.Unmarshal(fields[name], target) // see above
	}
	return nil
}

// Empty reports whether p holds nothing: no field, or a null that it was read
// from.
func (p Profile) Empty() bool {
	if p.received != nil {
		return string(p.received) == "null"
	}
	return p.Timestamp == 0 && p.Email == "" && p.Name == "" && p.Language == "" && p.Country == ""
}
