#!/bin/sh
# Makes the Swagger UI files in this directory again from the npm package
# swagger-ui-dist, and records the SHA-256 of each as npm has it (that is,
# before gzip, whose output differs between versions of gzip).
#
# Usage: web/apidocs/update.sh [VERSION]
# Needs npm, tar, gzip and sha256sum. npm checks the package's own hash.
set -eu

version=${1:-5.35.0}
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
archive=$(npm pack --silent "swagger-ui-dist@$version")
tar -xzf "$archive"
cd package

for file in swagger-ui-bundle.js swagger-ui.css; do
	gzip -9 -n -c "$file" >"$here/$file.gz"
done
# The package is under Apache-2.0, and the bundle has parts of others in it.
for file in LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt oauth2-redirect.html oauth2-redirect.js; do
	cp "$file" "$here/$file"
	chmod 644 "$here/$file"
done
sha256sum swagger-ui-bundle.js swagger-ui.css oauth2-redirect.html oauth2-redirect.js >"$here/SHA256SUMS"
echo "$version" >"$here/VERSION"

echo "swagger-ui-dist $version"
(cd "$work" && sha256sum "$archive")
cat "$here/SHA256SUMS"
