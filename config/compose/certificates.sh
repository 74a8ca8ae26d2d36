#!/bin/sh
# Makes the certificates of docker-compose.yml in ./certificates: a CA, and one
# certificate for both servers. For trying out; the CA's key is thrown away.
set -eu
mkdir -p certificates
cd certificates
trap '[ $? = 0 ] || echo "the certificates were not made: is openssl there?" >&2' EXIT
new_key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
openssl req -x509 $new_key -keyout ca-key.pem -out ca.pem -days 365 -subj '/CN=gold_digger example CA' 2>/dev/null
openssl req $new_key -keyout server-key.pem -out server.csr -subj /CN=server 2>/dev/null
# The names by which the servers are asked for.
echo 'subjectAltName = DNS:mariadb, DNS:mysql, DNS:localhost, IP:127.0.0.1' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile server.ext -days 365 -out server.pem 2>/dev/null
rm -f ca-key.pem server.csr server.ext ca.srl
# The servers and the exports in the containers run as users of their own.
chmod 755 .
chmod 644 ca.pem server.pem server-key.pem
