package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enoki-go/enoki/web"
)

type textInput struct{ Body string }

func length(_ context.Context, in *textInput) (*struct{ Body int }, error) {
	return &struct{ Body int }{len(in.Body)}, nil
}

// upload sends a body of n bytes, a JSON text, with or without its length.
func upload(h http.Handler, target string, n int, chunked bool) (*http.Response, string) {
	var body io.Reader = strings.NewReader(`"` + strings.Repeat("x", n-2) + `"`)
	if chunked {
		body = io.MultiReader(body) // hides the length
	}
	r := httptest.NewRequest("POST", target, body)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(text)
}

func TestMaxBody(t *testing.T) {
	readAll := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var tooLarge *http.MaxBytesError
		if _, err := io.Copy(w, r.Body); errors.As(err, &tooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	h := web.NewHandler(&web.Options{MaxBody: 100},
		web.Post("/standard", length),
		web.Post("/more", length, web.MaxBody(200)),
		web.Post("/any", length, web.MaxBody(-1)),
	)
	for _, chunked := range []bool{false, true} {
		for _, test := range []struct {
			target string
			n      int
			fits   bool
		}{
			{"/standard", 100, true}, {"/standard", 101, false},
			{"/more", 200, true}, {"/more", 201, false},
			{"/any", 3 << 20, true},
		} {
			res, body := upload(h, test.target, test.n, chunked)
			if test.fits {
				if res.StatusCode != 200 {
					t.Errorf("%s, %d bytes, chunked %v: %d %s, want 200", test.target, test.n, chunked, res.StatusCode, body)
				}
				continue
			}
			if p := wantProblem(t, res, body, http.StatusRequestEntityTooLarge); !strings.HasSuffix(p.Detail, "00 bytes") {
				t.Errorf("detail %q, want the limit", p.Detail)
			}
		}
	}
	if res, _ := upload(web.NewHandler(nil, web.Post("/x", length)), "/x", 1<<20, true); res.StatusCode != 200 {
		t.Errorf("1 MiB by default: %d, want 200", res.StatusCode)
	}
	if res, _ := upload(web.NewHandler(nil, web.Post("/x", length)), "/x", 1<<20+1, true); res.StatusCode != 413 {
		t.Errorf("more than 1 MiB by default: %d, want 413", res.StatusCode)
	}
	plain := web.NewHandler(&web.Options{MaxBody: 100}, web.Handle("/", readAll))
	if res, body := upload(plain, "/", 101, true); res.Header.Get("X-Request-Id") == "" || len(body) > 100 {
		t.Errorf("plain handler read %d bytes, want at most 100", len(body))
	}
}

// A route has one form of answer, and one of bodies.
func TestFormsThatAreNotSpoken(t *testing.T) {
	h := web.NewHandler(nil, web.Post("/x", length))
	for _, accept := range []string{"text/html", "application/json;q=0", "*/*;q=0", "nonsense"} {
		if res, body := exchange(t, h, "POST", "/x", `"abc"`, "Accept", accept); res.StatusCode != 200 || body != "3\n" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Accept %q: %d %s %q, want JSON", accept, res.StatusCode, body, res.Header)
		}
	}
	for _, form := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		res, body := exchange(t, h, "POST", "/x", "a=b", "Content-Type", form)
		wantProblem(t, res, body, http.StatusUnsupportedMediaType)
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestTooLargeIsRefusedUnread(t *testing.T) {
	h := web.NewHandler(nil, web.Post("/x", length))
	r := httptest.NewRequest("POST", "/x", unread{t})
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = 1<<20 + 1
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	wantProblem(t, w.Result(), w.Body.String(), http.StatusRequestEntityTooLarge)
}

func TestMaxBodyOfForm(t *testing.T) {
	type input struct{ RawBody multipart.Form }
	type output struct{ Body string }
	h := web.NewHandler(&web.Options{MaxBody: 1000}, web.Post("/x", func(_ context.Context, in *input) (*output, error) {
		return &output{in.RawBody.Value["name"][0]}, nil
	}))
	for size, want := range map[int]int{500: 200, 1000: http.StatusRequestEntityTooLarge} {
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		if err := errors.Join(w.WriteField("name", strings.Repeat("x", size)), w.Close()); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/x", io.MultiReader(&form)) // hides the length
		r.Header.Set("Content-Type", w.FormDataContentType())
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if answer.Code != want {
			t.Errorf("field of %d bytes: %d %s, want %d", size, answer.Code, answer.Body, want)
		}
		if want != 200 {
			wantProblem(t, answer.Result(), answer.Body.String(), want)
		}
	}
}

// broken is a body whose client has gone.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	if n, err := b.Reader.Read(p); err == nil {
		return n, nil
	}
	return 0, io.ErrUnexpectedEOF
}

func TestBrokenBody(t *testing.T) {
	h := web.NewHandler(nil, web.Post("/x", length))
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/x", broken{bytes.NewReader([]byte(`"ab`))})
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, r)
	p := wantProblem(t, w.Result(), w.Body.String(), http.StatusBadRequest)
	if p.Detail != "the body did not arrive as announced" {
		t.Errorf("detail %q", p.Detail)
	}
}

// deadlines counts the read deadlines that are set on a connection.
type deadlines struct {
	*httptest.ResponseRecorder
	set int
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.set++
	return nil
}

// A read deadline on a request that is there already would, when it passes,
// cancel its handler.
func TestNoReadDeadlineOfItsOwn(t *testing.T) {
	h := web.NewHandler(nil, web.Post("/x", func(context.Context, *struct{ Body *string }) (*nothing, error) { return nil, nil }))
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, httptest.NewRequest("POST", "/x", nil))
	if w.Code != http.StatusNoContent || w.set != 0 {
		t.Errorf("status %d, %d deadlines set, want 204 and none", w.Code, w.set)
	}
	synctest.Test(t, func(t *testing.T) { // which goes beyond what takes no time
		h := web.NewHandler(nil, web.Handle("/x", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(time.Minute)
			_, _ = r.Body.Read(make([]byte, 1))
		})))
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest("POST", "/x", strings.NewReader("x")))
		if w.set != 1 {
			t.Errorf("%d deadlines set, want one before the body has ended and none after", w.set)
		}
	})
}
