# Make what is missing: the authority of this server, and the certificate that it shows; print what was made.
# Run as postgres: sh certificate.sh FOLDER ADDRESS. The authority outlives many certificates, so that the app servers,
# which are given it, go on trusting a server whose certificate is made anew.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
address=$2
case $address in
  *:* | [0-9]*[!a-zA-Z]) names="IP:$address,DNS:$address" check=-checkip ;; # a libpq of before 15 looks for a name alone
  *) names="DNS:$address" check=-checkhost ;;
esac

if [ ! -s ca.pem ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7300 -subj "/CN=PostgreSQL on $(hostname)" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.new 2>/dev/null
  mv ca.new ca.pem
  echo authority
fi

good() {
  openssl verify -CAfile ca.pem server.pem >/dev/null 2>&1 &&
    openssl x509 -in server.pem -noout -checkend 15552000 >/dev/null &&
    openssl x509 -in server.pem -noout "$check" "$address" | grep -q 'does match' &&
    [ "$(openssl x509 -in server.pem -noout -pubkey)" = "$(openssl pkey -in server.key -pubout)" ]
}
if ! good; then
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$address" -keyout server.key.new -out server.csr 2>/dev/null
  printf 'basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "$names" >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1825 -extfile server.ext -out server.pem.new 2>/dev/null
  mv server.key.new server.key
  mv server.pem.new server.pem
  rm -f server.csr server.ext
  echo certificate
fi
