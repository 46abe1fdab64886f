# Run a command with the secrets of files in its environment: NAME_FILE=/run/secrets/x becomes
# NAME=(what stands in x). They stand in no image, no compose file and no `docker inspect`. OpenSSL's
# own SSL_CERT_FILE is no secret, and stays.
set -eu
for named in $(env | sed -n '/^SSL_CERT_FILE=/d; s/^\([A-Z_]*\)_FILE=.*/\1/p'); do
  eval "file=\$${named}_FILE"
  if [ ! -r "$file" ]; then
    echo "${named}_FILE names $file, which cannot be read." >&2
    exit 1
  fi
  value=$(cat "$file")
  export "$named=$value"
  unset "${named}_FILE"
done
exec "$@"
