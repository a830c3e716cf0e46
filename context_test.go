package enoki

import (
	"context"
	"testing"
)

func TestContextDataIsACopyToWriteInto(t *testing.T) {
	for name, ctx := range map[string]context.Context{"none": t.Context(), "some": WithContextData(t.Context(), "language", "de")} {
		data := ContextData(ctx)
		n := len(data)
		data["own"] = true
		if got := ContextData(ctx); len(got) != n {
			t.Errorf("%s: context data %v after a write into the copy", name, got)
		}
	}
}
