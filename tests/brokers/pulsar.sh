#!/usr/bin/env bash
# Installs an Apache Pulsar broker for the tests and prints its folder: pulsar.sh [4.0]
#
# The jars are those of Maven Central, in a folder that a standalone broker runs from (tests/src/pulsar/). It needs Java 17 and Maven, and
# no root. A broker is started once, to archive the classes that it loads (class data sharing): brokers then start in less than half the time.
# A finished installation is used again and fetches nothing; an interrupted one is repeated; a second run waits for the first. The folder lies
# in $WEIR_BROKERS, by default ~/.cache/weir/brokers.
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
  JAVA=$(java -version 2>&1)
  version=$(sed -n 's/.* version "\([0-9]*\).*/\1/p;T;q' <<<"$JAVA")
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

# An archive is for one release of Java.
is_archived() { [ "$(cat "$FOLDER/classes.java" 2>/dev/null)" = "$JAVA" ]; }

# Starts a broker, waits until it answers, and ends it: Java then writes the archive.
archive_classes() {
  local port admin_port pid
  echo "weir: archiving the classes of Pulsar in $FOLDER" >&2
  rm -rf "$WORK"
  mkdir -p "$WORK"
  read -r port admin_port < <(python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in held))')
  cat >"$WORK/standalone.conf" <<CONF
clusterName=standalone
brokerServicePort=$port
webServicePort=$admin_port
bindAddress=127.0.0.1
advertisedAddress=127.0.0.1
managedLedgerDefaultEnsembleSize=1
managedLedgerDefaultWriteQuorum=1
managedLedgerDefaultAckQuorum=1
loadBalancerEnabled=false
brokerShutdownTimeoutMs=1000
CONF
  java -XX:ArchiveClassesAtExit="$WORK/classes.jsa" -Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.net.preferIPv4Stack=true \
    --add-opens java.base/sun.net=ALL-UNNAMED --add-opens java.base/java.lang=ALL-UNNAMED \
    --add-opens java.management/sun.management=ALL-UNNAMED --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED \
    -cp "$FOLDER/lib/*" org.apache.pulsar.PulsarStandaloneStarter -nfw -nss -a 127.0.0.1 -c "$WORK/standalone.conf" \
    --metadata-dir "$WORK/metadata" --bookkeeper-dir "$WORK/bookkeeper" >"$WORK/output.log" 2>&1 9>&- &
  pid=$!
  python3 - "$admin_port" "$pid" <<'PY' && kill "$pid"
import os, sys, time, urllib.request
url, deadline = f"http://127.0.0.1:{sys.argv[1]}/admin/v2/brokers/health", time.monotonic() + 180
while time.monotonic() < deadline:
    os.kill(int(sys.argv[2]), 0)
    try:
        urllib.request.urlopen(url, timeout=60)
        sys.exit(0)
    except OSError:
        time.sleep(0.2)
os.kill(int(sys.argv[2]), 9)
sys.exit(1)
PY
  wait "$pid" || true
  if [ -f "$WORK/classes.jsa" ]; then
    mv -f "$WORK/classes.jsa" "$FOLDER/classes.jsa"
  else
    tail -n 20 "$WORK/output.log" >&2
    echo "pulsar.sh: Java archived no classes (see above): brokers of the tests start more slowly" >&2
  fi
  echo "$JAVA" >"$FOLDER/classes.java"
}

check_tools
if ! is_finished || ! is_archived; then
  WORK="$FOLDER.partial"
  exec 9>"$FOLDER.lock"
  flock 9
  trap 'rm -rf "$WORK"' EXIT
  # Another run may have finished it meanwhile.
  is_finished || install
  is_archived || archive_classes
fi
echo "$FOLDER"
