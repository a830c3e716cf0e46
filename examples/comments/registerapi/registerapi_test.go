package registerapi

import (
	"encoding/json"
	"testing"
)

func TestUserID(t *testing.T) {
	for text, want := range map[string]UserID{`"7434029"`: "7434029", `7434029`: "7434029", `null`: "", `""`: "", `"x\n"`: "x\n"} {
		var id UserID
		if err := json.Unmarshal([]byte(text), &id); err != nil || id != want {
			t.Errorf("%s is read as %q, %v; want %q", text, id, err, want)
		}
	}
	for _, text := range []string{`1.5`, `true`, `[]`, `{}`, `1e3`, `99999999999999999999`} {
		var id UserID
		if err := json.Unmarshal([]byte(text), &id); err == nil {
			t.Errorf("%s is read as %q", text, id)
		}
	}
	for id, want := range map[UserID]string{"7434029": `"7434029"`, "": `null`} {
		if text, err := json.Marshal(id); err != nil || string(text) != want {
			t.Errorf("%q is written as %s, %v; want %s", id, text, err, want)
		}
	}
}

func TestProfile(t *testing.T) {
	written, err := json.Marshal(Profile{Timestamp: 1, Email: "ann@example.com", Name: "Ann", Language: "en", Country: "GB"})
	want := `{"timestamp":1,"email":"ann@example.com","name":"Ann","language":"en","country":"GB"}`
	if err != nil || string(written) != want {
		t.Errorf("written: %s, %v; want %s", written, err, want)
	}
	for _, text := range []string{
		`{"name":"Ann","age":12345678901234567890,"tags":[1.0,null],"language":"de"}`,
		`{"name":"Ann","language":"de","timestamp":"yesterday","country":7}`,
	} {
		var p Profile
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Name != "Ann" || p.Language != "de" || p.Timestamp != 0 || p.Country != "" {
			t.Errorf("%s is read as %+v, %v", text, p, err)
		}
		if again, err := json.Marshal(&p); err != nil || string(again) != text {
			t.Errorf("%s is written again as %s, %v", text, again, err)
		}
	}
}

func TestProfileEmpty(t *testing.T) {
	for text, want := range map[string]bool{`null`: true, `{}`: false, `"x"`: false, `{"name":""}`: false} {
		var p Profile
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Empty() != want {
			t.Errorf("%s: empty is %v, %v; want %v", text, p.Empty(), err, want)
		}
	}
	if !(Profile{}).Empty() || (Profile{Country: "GB"}).Empty() {
		t.Error("a Profile of Go is empty when it has no field, and only then")
	}
}
