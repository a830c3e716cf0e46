package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// The embedded files are those of the npm package, byte for byte.
func TestEmbeddedFilesMatchRecordedHashes(t *testing.T) {
	recorded, err := os.ReadFile("apidocs/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	pages, checked := apidocs(nil), 0
	for line := range strings.Lines(string(recorded)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		p := pages["/apidocs/"+name]
		if p == nil {
			t.Fatalf("%s is not served", name)
		}
		open := p.open
		if p.gzipped {
			open = p.unpacked
		}
		unpacked, err := open()
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has not the recorded hash; run web/apidocs/update.sh", name)
		}
		checked++
	}
	packed, err := fs.Glob(apidocsFiles, "apidocs/*.gz")
	if want := len(packed) + 2; err != nil || checked != want { // and the two of the redirect
		t.Errorf("checked %d files, want %d: %q (%v)", checked, want, packed, err)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false,
		"*": true, "*;q=0": false, "identity": false, "gzip;q=0, *": false, "*, gzip;q=0": false, "gzipped": false,
	} {
		if got := acceptsGzip([]string{header}); got != want {
			t.Errorf("acceptsGzip(%q) = %v, want %v", header, got, want)
		}
	}
}
