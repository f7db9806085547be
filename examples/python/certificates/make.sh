#!/bin/sh
# An authority of our own, a certificate for the server and one for a client, in the folder $1. Run again, it renews the
# two and keeps the authority. Needs OpenSSL 3.
set -eu
cd "$1"
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc"

if [ ! -f authority.key ]; then
    openssl req -x509 $new -keyout authority.key -out authority.pem -days 3650 -subj "/CN=our authority" \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
fi
openssl req -x509 $new -CA authority.pem -CAkey authority.key -keyout server.key -out server.pem -days 90 \
    -subj "/CN=render" -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" \
    -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=serverAuth"
openssl req -x509 $new -CA authority.pem -CAkey authority.key -keyout camera.key -out camera.pem -days 90 \
    -subj "/CN=camera 7" -addext "subjectAltName=DNS:camera-7.example" \
    -addext "basicConstraints=critical,CA:FALSE" -addext "extendedKeyUsage=clientAuth"
