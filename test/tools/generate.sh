#!/bin/sh
# Writes every generated file anew: deep copies in api/v1alpha1, CRDs in deploy/crds.
# The tools and their versions stand in test/tools/go.mod.
# usage: test/tools/generate.sh [project root]
set -eu
cd "${1:-$(dirname "$0")/../..}"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
go tool -modfile=test/tools/go.mod controller-gen \
	object crd output:crd:artifacts:config="$fresh" paths=./api/v1alpha1

# Only now, so that a failure above leaves what was there; a kind that is gone goes here too.
mkdir -p deploy/crds
rm -f deploy/crds/bgp.fairway.dev_*.yaml
cp "$fresh"/bgp.fairway.dev_*.yaml deploy/crds/
