#!/usr/bin/env bash
# Installs a RabbitMQ server for the tests and prints its folder: rabbitmq.sh 3.10|4.0|4.3
#
# The packages are those of a Debian suite, unpacked into a folder that a node runs in by chroot (tests/src/rabbitmq/). No script of a
# package is run and nothing is started, so the system is left as it is. A finished installation is used again; an interrupted one
# is repeated; a second run waits for the first. The folder lies in $WEIR_BROKERS, by default ~/.cache/weir/brokers.
set -euo pipefail

# Raise it when what is installed changes: installations of another edition are replaced.
EDITION=1
# What the scripts of rabbitmq-server run, besides its dependencies.
TOOLS=(base-files coreutils dash grep hostname mawk sed)

fail() { # fail EXIT-CODE TEXT
  echo "rabbitmq.sh: $2" >&2
  exit "$1"
}

WANTED="${1:-}"
# Where a version may be found, the first suite that has it is taken.
case "$WANTED" in
  3.10) SUITES=(bookworm) ;;
  4.0) SUITES=(trixie) ;;
  4.3) SUITES=(forky sid) ;;
  *) fail 64 "usage: rabbitmq.sh 3.10|4.0|4.3 (the versions that the tests know)" ;;
esac

ELSEWHERE="or set WEIR_TEST_RABBITMQ_URL to a running RabbitMQ (see CONTRIBUTING.md)"
[ "$(id -u)" = 0 ] || fail 77 "RabbitMQ for the tests is installed and run as root: run the tests as root, $ELSEWHERE"
for tool in apt-get dpkg-deb flock unshare chroot setpriv; do
  command -v "$tool" >/dev/null || fail 69 "\`$tool\` is missing: RabbitMQ for the tests is unpacked from Debian's packages; use a Debian machine, $ELSEWHERE"
done
BROKERS="${WEIR_BROKERS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/brokers}"
mkdir -p "$BROKERS" || fail 73 "cannot create the folder $BROKERS: set WEIR_BROKERS to a folder that can be written"
cd "$BROKERS"
FOLDER="$PWD/rabbitmq-$WANTED"

is_finished() { [ "$(cat "$FOLDER/installed" 2>/dev/null)" = "$EDITION" ]; }

# The mirror and the keys of this machine's own sources, so that a mirror that was set up for it is used here, too.
mirror() {
  local release
  # shellcheck source=/dev/null
  release=$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}") || release=
  [ -n "$release" ] || fail 69 "this machine is not Debian (/etc/os-release), whose package sources are needed: use a Debian machine, $ELSEWHERE"
  apt-get indextargets --format '$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)' |
    awk -v release="$release" '$1 == "Packages" && $2 == release && $3 == "main" { print $4; exit }'
}

# download SUITE: the packages and all that they depend on, into $WORK/cache/archives, with package lists of their own.
download() {
  local options=(-qq -o Dir::Etc::sourcelist="$WORK/sources.list" -o Dir::Etc::sourceparts="$WORK/none" -o Dir::Etc::preferences="$WORK/none/none"
    -o Dir::Etc::preferencesparts="$WORK/none" -o Dir::State::lists="$WORK/lists" -o Dir::Cache="$WORK/cache" -o Dir::State::status="$WORK/status"
    -o Debug::NoLocking=1 -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Acquire::Retries=3 -o APT::Update::Error-Mode=any)
  rm -rf "$WORK"
  mkdir -p "$WORK"/{none,lists/partial,cache/archives/partial}
  : >"$WORK/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR $1 main" >"$WORK/sources.list"
  apt-get "${options[@]}" update >&2 || fail 69 "the package lists of Debian $1 cannot be fetched: check this machine's network and package sources, $ELSEWHERE"
  [[ "$(apt-cache "${options[@]}" show --no-all-versions rabbitmq-server 2>/dev/null)" == *$'\n'"Version: $WANTED."* ]] || return 1
  apt-get "${options[@]}" -y --download-only install rabbitmq-server "${TOOLS[@]}" >&2 ||
    fail 69 "the packages of Debian $1 cannot be fetched: check this machine's network and package sources, $ELSEWHERE"
}

unpack() { # unpack ROOT
  local package device
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
  for package in "$WORK"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" |
      tar -x -C "$1" --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
  done
  # What the packages' scripts would have done, as far as a node needs it.
  ln -sfn dash "$1/usr/bin/sh"
  ln -sfn mawk "$1/usr/bin/awk"
  echo 'root:x:0:0:root:/:/bin/sh' >"$1/etc/passwd"
  echo 'root:x:0:' >"$1/etc/group"
  echo "127.0.0.1 localhost $(hostname)" >"$1/etc/hosts"
  mkdir -p "$1"/{proc,dev,tmp,node}
  for device in "null 3" "zero 5" "random 8" "urandom 9"; do
    mknod -m 666 "$1/dev/${device% *}" c 1 "${device#* }"
  done
}

install() {
  MIRROR=$(mirror)
  [ -n "$MIRROR" ] || fail 69 "apt has no source with the component main of this Debian: check /etc/apt, $ELSEWHERE"
  echo "weir: installing RabbitMQ $WANTED into $FOLDER" >&2
  local suite found=
  for suite in "${SUITES[@]}"; do
    if download "$suite"; then found=$suite && break; fi
  done
  [ -n "$found" ] || fail 69 "Debian ${SUITES[*]} no longer has RabbitMQ $WANTED: change the suites in tests/brokers/rabbitmq.sh"
  unpack "$WORK/tree"
  chroot "$WORK/tree" /usr/bin/test -x /usr/lib/rabbitmq/bin/rabbitmq-server || fail 70 "the unpacked packages of Debian $found do not run on this machine"
  echo "$EDITION" >"$WORK/tree/installed"
  rm -rf "$FOLDER"
  mv "$WORK/tree" "$FOLDER"
}

if ! is_finished; then
  WORK="$FOLDER.partial"
  exec 9>"$FOLDER.lock"
  flock 9
  trap 'rm -rf "$WORK"' EXIT
  # Another run may have finished it meanwhile.
  is_finished || install
fi
echo "$FOLDER"
