#!/bin/sh
# Fails when a generated file is not what test/tools/generate.sh makes of its source. It
# generates in a copy: the working tree stays as it is, and need not be a git clone.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

mkdir -p "$copy/test" "$copy/deploy"
cp "$root/go.mod" "$root/go.sum" "$copy/"
cp -R "$root/api" "$copy/api"
cp -R "$root/test/tools" "$copy/test/tools"
cp -R "$root/deploy/crds" "$copy/deploy/crds"
"$copy/test/tools/generate.sh" "$copy"

stale=0
for folder in api deploy/crds; do
	diff -ru "$root/$folder" "$copy/$folder" || stale=1
done
if [ "$stale" -ne 0 ]; then
	echo "check-generated: generated files are stale: run test/tools/generate.sh and commit the result" >&2
	exit 1
fi
echo "check-generated: generated files are up to date"
