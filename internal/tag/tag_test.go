package tag_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/internal/tag"
)

var ours = []string{"rpc", "args", "timeout", "json", "sensitive"}

func TestCheckOwn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                     "<nil>",
		`rpc:"a" timeout:"2s"`: "<nil>",
		`timout:"2s"`:          "did you mean timeout?",
		`rcp:"a"`:              "did you mean rpc?",
		`Args:"a"`:             "did you mean args?",
		`xml:"a"`:              "there are rpc, args",
		`args:"a" args:"b"`:    "has args twice",
		`args`:                 `not of the form key:"value"`,
		`args:a`:               `not of the form key:"value"`,
		`rpc:"a\"b" args:"x"`:  "<nil>",
		`rpc:"a",args:"x"`:     "did you mean args?",
		`rpc: "a"`:             `not of the form key:"value"`,
	} {
		if got := fmt.Sprint(tag.CheckOwn(reflect.StructTag(text), ours)); !strings.Contains(got, want) {
			t.Errorf("`%s`: got %s, want %q", text, got, want)
		}
	}
}

func TestCheckShared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`json:"a" gorm:"b" bson:"c" yaml:"d" xml:"e" db:"f" validate:"g" protobuf:"h" msgpack:"i" toml:"j"`: "<nil>",
		`jsno:"a"`:           "did you mean json?",
		`Json:"a"`:           "did you mean json?",
		`sensitve:"true"`:    "did you mean sensitive?",
		`json:"a" timeot:""`: "did you mean timeout?",
	} {
		if got := fmt.Sprint(tag.CheckShared(reflect.StructTag(text), ours)); !strings.Contains(got, want) {
			t.Errorf("`%s`: got %s, want %q", text, got, want)
		}
	}
}
