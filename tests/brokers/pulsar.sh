#!/usr/bin/env bash
# Installs an Apache Pulsar broker for the tests and prints its folder: pulsar.sh [4.0]
#
# The jars are those of Maven Central, in a folder that a standalone broker runs from (tests/src/pulsar/). It needs Java 17 and Maven, and
# no root. Nothing is started. A finished installation is used again and fetches nothing; an interrupted one is repeated; a second run waits
# for the first. The folder lies in $WEIR_BROKERS, by default ~/.cache/weir/brokers.
set -euo pipefail

# Raise it when what is installed changes: installations of another edition are replaced.
EDITION=1
RELEASE=4.0.7

fail() { # fail EXIT-CODE TEXT
  echo "pulsar.sh: $2" >&2
  exit "$1"
}

WANTED="${1:-4.0}"
[ "$WANTED" = 4.0 ] || fail 64 "usage: pulsar.sh [4.0] (the versions that the tests know)"

ELSEWHERE="or set WEIR_TEST_PULSAR_URL and WEIR_TEST_PULSAR_ADMIN_URL to a running Pulsar (see CONTRIBUTING.md)"
BROKERS="${WEIR_BROKERS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/brokers}"
mkdir -p "$BROKERS" || fail 73 "cannot create the folder $BROKERS: set WEIR_BROKERS to a folder that can be written"
cd "$BROKERS"
FOLDER="$PWD/pulsar-$WANTED"

is_finished() { [ "$(cat "$FOLDER/installed" 2>/dev/null)" = "$EDITION" ]; }

check_tools() {
  local version
  for tool in java mvn flock; do
    command -v "$tool" >/dev/null || fail 69 "\`$tool\` is missing: install Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven), $ELSEWHERE"
  done
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q')
  [ "${version:-0}" -ge 17 ] || fail 69 "Pulsar needs Java 17 or later, \`java\` is version ${version:-unknown}: install Java 17, $ELSEWHERE"
}

install() {
  echo "weir: installing Pulsar $RELEASE into $FOLDER" >&2
  rm -rf "$WORK"
  mkdir -p "$WORK"/{tree,repository}
  cat >"$WORK/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>weir</groupId>
  <artifactId>pulsar</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.pulsar</groupId><artifactId>pulsar-broker</artifactId><version>$RELEASE</version></dependency>
  </dependencies>
</project>
POM
  # A repository of its own, removed when the jars are copied.
  mvn -q -B -f "$WORK/pom.xml" -Dmaven.repo.local="$WORK/repository" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$WORK/tree/lib" >&2 || fail 69 "the jars of Pulsar $RELEASE cannot be fetched from Maven Central: check this machine's network and ~/.m2/settings.xml, $ELSEWHERE"
  [ -f "$WORK/tree/lib/pulsar-broker-$RELEASE.jar" ] || fail 70 "Maven did not copy the jars of Pulsar $RELEASE: see its output above"
  echo "$EDITION" >"$WORK/tree/installed"
  rm -rf "$FOLDER"
  mv "$WORK/tree" "$FOLDER"
}

check_tools
if ! is_finished; then
  WORK="$FOLDER.partial"
  exec 9>"$FOLDER.lock"
  flock 9
  trap 'rm -rf "$WORK"' EXIT
  # Another run may have finished it meanwhile.
  is_finished || install
fi
echo "$FOLDER"
