#!/bin/sh
# Installs the Debian packages given as arguments, as root, so that nothing they bring starts a server: neither now on
# a standard port, nor by itself later.
set -eu

policy=/usr/sbin/policy-rc.d
kept_policy=/usr/sbin/policy-rc.d.before-quote-collab
cluster_settings=/etc/postgresql-common/createcluster.d
our_settings=$cluster_settings/quote-collab.conf

clean_up() {
    rm -f "$policy" "$our_settings"
    if [ -e "$kept_policy" ]; then mv "$kept_policy" "$policy"; fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# An earlier run that was killed left its own policy in place and the real one beside it.
if [ -e "$policy" ] && [ ! -e "$kept_policy" ]; then mv "$policy" "$kept_policy"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

# A machine that has PostgreSQL keeps its clusters and gets no new one.
mkdir -p "$cluster_settings"
echo 'create_main_cluster = false' >"$our_settings"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "$@"

# This is what the package's own scripts call; the variable tells it on whose behalf.
for package in "$@"; do
    if [ "$package" = nats-server ] && command -v deb-systemd-helper >/dev/null; then
        DPKG_MAINTSCRIPT_PACKAGE=nats-server deb-systemd-helper disable nats-server.service >/dev/null
    fi
done
