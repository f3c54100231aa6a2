#!/bin/sh
# Creates the files that the roles of a trial need, in a new folder: a certificate authority and a certificate for the gateway, tokens, and a password for
# the broker. If other people use the gateway, prefer certificates of an authority that your clients already trust.
#
#   deploy/secrets.sh FOLDER NAME...     each NAME is a name or an IPv4 address that clients use for the gateway
set -eu

[ $# -ge 2 ] || { echo "usage: secrets.sh FOLDER NAME..." >&2; exit 64; }
folder=$1
shift
# Creates the folder, or fails if it exists: secrets in use are never overwritten.
umask 077
mkdir "$folder"
cd "$folder"

names=
for name in "$@"; do
  case $name in
    *[!0-9.]*) names="$names,DNS:$name" ;;
    *) names="$names,IP:$name" ;;
  esac
done
printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "${names#,}" >gateway.ext
new_key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
# shellcheck disable=SC2086
openssl req -x509 $new_key -days 3650 -subj "/CN=Weir CA" -keyout ca-key.pem -out ca.pem 2>/dev/null
# shellcheck disable=SC2086
openssl req $new_key -subj "/CN=$1" -keyout gateway-key.pem -out gateway.csr 2>/dev/null
openssl x509 -req -in gateway.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 90 -extfile gateway.ext -out gateway.pem 2>/dev/null

for scope in read operate deploy; do
  echo "$scope $(openssl rand -hex 32)"
done >tokens
grep '^read ' tokens >host-token

password=$(openssl rand -hex 32)
printf 'RABBITMQ_DEFAULT_USER=weir\nRABBITMQ_DEFAULT_PASS=%s\nRABBITMQ_DEFAULT_VHOST=weir\n' "$password" >rabbitmq.env
printf 'WEIR_BROKER_URL=amqp://weir:%s@rabbitmq:5672/weir\n' "$password" >broker.env

# The user of the image. Files mounted into a container keep their owner.
if [ "$(id -u)" = 0 ]; then
  chown 10001:10001 gateway.pem gateway-key.pem ca.pem tokens host-token
fi
