package web_test

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/enoki-go/enoki/web"
)

// takes and gives return routes of one type.
func takes[In any](path string) web.Route {
	return web.Post(path, func(context.Context, *In) (*struct{}, error) { return nil, nil })
}

func takesBody[T any](path string) web.Route { return takes[struct{ Body T }](path) }

func gives[Out any](path string, opts ...web.RouteOption) web.Route {
	return web.Get(path, func(context.Context, *struct{}) (*Out, error) { return nil, nil }, opts...)
}

type listOfItself []listOfItself

type embeddedPart struct{ A int }

// resolver is what huma would ask.
type resolver struct{}

func (resolver) Resolve(huma.Context) []error { return nil }

// Declarations of which no request could make sense are told at start, with
// what to do.
func TestDeclarationsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		route web.Route
		want  string
	}{
		"two places": {takes[struct {
			A string `query:"a" header:"A"`
		}]("/x"), "field A: is tagged query and header"},
		"no place": {takes[struct{ A string }]("/x"), "field A: nothing fills it; tag it path, query, header or cookie"},
		"form": {takes[struct {
			A string `form:"a"`
		}]("/x"), "field A: the tag form is not known; take the whole form in a field RawBody"},
		"not exported": {takes[struct {
			a string `query:"a"`
		}]("/x"), "field a: is tagged, but can't be set"},
		"embedded pointer": {takes[struct{ *embeddedPart }]("/x"), "is an embedded pointer"},
		"twice": {takes[struct {
			A, B string `query:"a"`
		}]("/x"), `field B: is tagged query:"a", as the field A is`},
		"header in other case": {takes[struct {
			A string `header:"X-a"`
			B string `header:"x-A"`
		}]("/x"), "as the field A is"},
		"misspelt tag": {takes[struct {
			A string `query:"a" maxLenght:"5"`
		}]("/x"), "field A: tag maxLenght is not known; did you mean maxLength?"},
		"misspelt place": {takes[struct {
			A string `quer:"a"`
		}]("/x"), "field A: tag quer is not known; did you mean query?"},
		"unknown tag": {takes[struct {
			A string `query:"a" bson:"a"`
		}]("/x"), "field A: tag bson is not known"},
		"misspelt tag in the body": {takes[struct {
			Body struct {
				A string `json:"a" minLenth:"5" bson:"a"`
			}
		}]("/x"), "Body.A: tag minLenth is not known; did you mean minLength?"},
		"no name of a header": {takes[struct {
			A string `header:"a b"`
		}]("/x"), `"a b" is no name of a header`},
		"bytes as parameter": {takes[struct {
			A []byte `query:"a"`
		}]("/x"), "a query parameter can't be a []uint8"},
		"list of lists": {takes[struct {
			A [][]string `query:"a"`
		}]("/x"), "a query parameter can't be a [][]string"},
		"resolver": {takes[resolver]("/x"), "has the method Resolve, which nobody calls"},
		"no JSON by its type": {takes[struct {
			Body string `contentType:"text/csv"`
		}]("/x"), `field Body: is JSON, which "text/csv" is not`},
		"two bodies": {takes[struct {
			Body    string
			RawBody []byte
		}]("/x"), "has both Body and RawBody"},
		"unknown raw body": {takes[struct{ RawBody string }]("/x"), "RawBody: can't be a string; have []byte and multipart.Form"},
		"body of GET":      {web.Get("/x", func(context.Context, *struct{ Body string }) (*struct{}, error) { return nil, nil }), "a GET request has no body"},
		"form in the body": {takes[struct {
			Body struct {
				A string `form:"a"`
				B string `form:"b" json:"b"`
			}
		}]("/x"), "field Body.A: the tag form is not known, the body is JSON"},
		"form of GET": {web.Get("/x", func(context.Context, *struct{ RawBody multipart.Form }) (*struct{}, error) { return nil, nil }), "a GET request has no body"},
		"required default": {takes[struct {
			A int `query:"a" default:"5" required:"true"`
		}]("/x"), `the default "5" never applies`},
		"default too large": {takes[struct {
			A int8 `query:"a" default:"500"`
		}]("/x"), `the default "500" is not valid: expected integer of 8 bits`},
		"default beyond": {takes[struct {
			A int `query:"a" default:"5" maximum:"3"`
		}]("/x"), `the default "5" is not valid: expected number <= 3`},
		"default of a list": {takes[struct {
			A []int `query:"a" default:"1,x"`
		}]("/x"), "value 2: invalid integer"},
		"path default": {takes[struct {
			A int `path:"a" default:"5"`
		}]("/{a}"), "never applies"},
		"pattern": {takes[struct {
			A string `query:"a" pattern:"("`
		}]("/x"), "field A: "},
		"minimum of text": {takes[struct {
			A string `query:"a" minimum:"1"`
		}]("/x"), `field A: the tag minimum:"1" is for a number, but the field is a string`},
		"minimum, no number": {takes[struct {
			A int `query:"a" minimum:"x"`
		}]("/x"), "minimum"},
		"enum of another type": {takes[struct {
			A int `query:"a" enum:"1,x"`
		}]("/x"), "field A: "},

		"channel":        {takesBody[struct{ C chan int }]("/x"), "field Body.C: is a chan int, which can't be JSON"},
		"function":       {gives[struct{ Body struct{ F func() } }]("/x"), "field Body.F: is a func()"},
		"complex":        {gives[struct{ Body []complex128 }]("/x"), "field Body: is a complex128"},
		"keys":           {gives[struct{ Body map[bool]int }]("/x"), "is a map with keys of bool"},
		"interface":      {takesBody[struct{ E error }]("/x"), "is the interface error, of which no value can be made"},
		"list of itself": {takesBody[listOfItself]("/x"), "is a list, map or pointer of itself"},
		"minLength of number": {takesBody[struct {
			A int `json:"a" minLength:"1"`
		}]("/x"), `field Body.A: the tag minLength:"1" is for a string, but the field is a number`},
		"items of an object": {takesBody[struct {
			A map[string]int `json:"a" maxItems:"1"`
		}]("/x"), "is for a array"},
		"nothing between": {takesBody[struct {
			A int `json:"a" minimum:"5" maximum:"3"`
		}]("/x"), "no number is at least 5 and at most 3"},
		"default and minimum": {takesBody[struct {
			A int `json:"a" default:"1" minimum:"5"`
		}]("/x"), "the tag default has 1, which is not valid: expected number >= 5"},
		"default and enum": {takesBody[struct {
			A string `json:"a" default:"z" enum:"x,y"`
		}]("/x"), `the tag default has "z", which is not valid`},
		"default of a type": {takesBody[struct {
			A time.Time `json:"a" default:"noon"`
		}]("/x"), `the tag default has "noon", which is not valid`},
		"default, no JSON": {takesBody[struct {
			A int `json:"a" default:"x"`
		}]("/x"), `the default "x" is no JSON`},
		"default, required": {takesBody[struct {
			A int `json:"a" default:"1" required:"true"`
		}]("/x"), "the default never applies"},
		"example": {takesBody[struct {
			A int8 `json:"a" example:"300"`
		}]("/x"), "the tag example has 300, which is not valid"},
		"enum beyond": {takesBody[struct {
			A int `json:"a" enum:"1,9" maximum:"5"`
		}]("/x"), "the tag enum has 9, which is not valid"},
		"dependent": {takesBody[struct {
			A int `json:"a,omitempty" dependentRequired:"b"`
		}]("/x"), `names "b", which is no field`},

		"status too low":    {gives[struct{}]("/x", web.Status(99)), "status 99 is none to answer with"},
		"status of errors":  {gives[struct{}]("/x", web.Status(404)), "status 404 is none to answer with when nothing failed"},
		"body without body": {gives[struct{ Body string }]("/x", web.Status(204)), "status 204 has no body"},
		"Status no int":     {gives[struct{ Status string }]("/x"), "Status: is a string; make it an int"},
		"Status enum": {gives[struct {
			Status int `enum:"200,99"`
		}]("/x"), `"99" in its enum is no status`},
		"nobody sends": {gives[struct{ Secret string }]("/x"), "field Secret: nobody sends it"},
		"header type": {gives[struct {
			A struct{} `header:"A"`
		}]("/x"), "field A: a header can't be a struct {}"},
		"header twice": {gives[struct {
			A, B string `header:"X-A"`
		}]("/x"), "field B: the header X-A has a field already"},
		"stream":           {gives[struct{ Body io.ReadCloser }]("/x"), "make a route of web.Handle for a stream"},
		"output no struct": {gives[int]("/x"), "output must be a struct"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				told := fmt.Sprint(recover())
				if !strings.Contains(told, test.want) || !strings.Contains(told, "can't be served") {
					t.Errorf("told %s\nwant %s", told, test.want)
				}
			}()
			web.NewHandler(nil, test.route)
		})
	}
}

// All mistakes of all routes are told at once.
func TestAllMistakesAreTold(t *testing.T) {
	defer func() {
		told := fmt.Sprint(recover())
		for _, want := range []string{
			"POST /{id} can't be served: the path has {id}", "POST /{id} can't be served: field A: ", "POST /{id} can't be served: field Body.C: ",
			"POST /{id} can't be served: field Body.D: ", "GET /y can't be served: status 99", "GET /y can't be served: field Secret",
		} {
			if strings.Count(told, want) != 1 {
				t.Errorf("%q is not told once in\n%s", want, told)
			}
		}
	}()
	web.NewHandler(nil, takes[struct {
		A    int8 `query:"a" default:"500"`
		Body struct {
			C int `json:"c" minLength:"1"`
			D int `json:"d" default:"x"`
		}
	}]("/{id}"), gives[struct{ Secret string }]("/y", web.Status(99)))
}

// What is fine stays fine: types that are recursive through structs, embedded
// ones, and fields that nobody sends because they say so.
func TestDeclarationsThatWork(t *testing.T) {
	type tree struct {
		Kids  []tree           `json:"kids,omitempty"`
		ByKey map[string]*tree `json:"by_key,omitempty"`
	}
	type paging struct {
		Limit int `query:"limit" default:"20"`
	}
	h := web.NewHandler(nil,
		web.Post("/tree", func(_ context.Context, in *struct {
			paging
			Body tree
		}) (*struct{ Body []tree }, error) {
			return &struct{ Body []tree }{make([]tree, in.Limit)}, nil
		}),
		web.Post("/raw", func(_ context.Context, in *struct {
			RawBody []byte `contentType:"text/csv"`
		}) (*struct{ Body int }, error) {
			return &struct{ Body int }{len(in.RawBody)}, nil
		}),
		web.Patch("/merge", func(_ context.Context, in *struct {
			Body map[string]int `contentType:"application/merge-patch+json"`
		}) (*struct {
			Body map[string]int `contentType:"application/vnd.x+json"`
		}, error) {
			return &struct {
				Body map[string]int `contentType:"application/vnd.x+json"`
			}{in.Body}, nil
		}),
		web.Get("/cached", func(context.Context, *struct{}) (*struct{ _ int }, error) { return nil, nil }, web.Status(http.StatusNotModified)),
	)
	if res, body := exchange(t, h, "POST", "/tree?limit=1", `{"kids":[{"by_key":{"a":{}}}]}`); res.StatusCode != 200 || body != "[{}]\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := exchange(t, h, "POST", "/raw", "a,b", "Content-Type", "text/csv"); res.StatusCode != 200 || body != "3\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, body := exchange(t, h, "PATCH", "/merge", `{"a":1}`, "Content-Type", "application/merge-patch+json")
	if res.StatusCode != 200 || body != `{"a":1}`+"\n" || res.Header.Get("Content-Type") != "application/vnd.x+json" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	document, _ := openAPI(t, h)
	member(t, document, "paths", "/merge", "patch", "requestBody", "content", "application/merge-patch+json")
	member(t, document, "paths", "/merge", "patch", "responses", "200", "content", "application/vnd.x+json")
	if res, _ := exchange(t, h, "GET", "/cached", ""); res.StatusCode != 304 {
		t.Errorf("%d", res.StatusCode)
	}
}
