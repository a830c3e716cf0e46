package fault

import "testing"

func TestCodesAreComplete(t *testing.T) {
	for code, row := range codes {
		if row.status < 400 || row.exit == 0 || row.exit == 2 || row.class == "" || row.path == "" {
			t.Errorf("code %s has an incomplete row %+v", code, row)
		}
	}
	if Code("made_up").HTTPStatus() != 500 || Code("").ExitCode() != 0 || CodeOf(nil) != "" {
		t.Error("a code that is not in the table must be 500, and no code no failure")
	}
}
