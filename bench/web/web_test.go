package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/enoki-go/enoki/bench/harness"
)

// Every case must do the same work: answer what is right and refuse what is
// wrong.
func TestCasesCheck(t *testing.T) {
	const good = `{"id":"1","name":"Ada","count":1,"score":0.5,"tags":[],"text":"x"}`
	for _, g := range Groups() {
		for _, c := range g.Cases {
			address, err := c.Serve(t.Context(), &harness.Work{})
			if err != nil {
				t.Fatal(err)
			}
			for _, request := range []struct {
				user, body string
				status     int
			}{
				{"7", good, http.StatusCreated},
				{"0", good, http.StatusBadRequest},
				{"x", good, http.StatusBadRequest},
				{"7", strings.Replace(good, `:1,`, `:-1,`, 1), http.StatusBadRequest},
				{"7", strings.Replace(good, "0.5", "1.5", 1), http.StatusBadRequest},
				{"7", strings.Replace(good, "Ada", strings.Repeat("a", 101), 1), http.StatusBadRequest},
				{"7", strings.Replace(good, "Ada", "", 1), http.StatusBadRequest},
				{"7", good[1:], http.StatusBadRequest},
			} {
				resp, err := http.Post(address+"/users/"+request.user+"/documents", "application/json", strings.NewReader(request.body))
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				status := resp.StatusCode
				if status == http.StatusUnprocessableEntity {
					status = http.StatusBadRequest // huma's
				}
				if status != request.status {
					t.Errorf("%s/%s: user %s, %s: status %d, want %d", g.Name, c.Name, request.user, request.body, status, request.status)
				}
			}
		}
	}
}
