#!/bin/sh
# install.sh PACKAGE...: installs Debian packages for the runs; as root. Services that come with them
# are neither started nor left enabled: each run starts its own in a namespace.
set -eu

missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing$missing"

scratch=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
own_policy=""
clean() {
    [ -z "$own_policy" ] || rm -f "$policy"
    rm -rf "$scratch"
}
trap clean EXIT
if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy" # "action forbidden by policy"
    chmod 755 "$policy"
fi

installed() {
    dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii *//p' | sort
}
installed >"$scratch/before"
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=600 $missing >/dev/null
installed >"$scratch/after"

comm -13 "$scratch/before" "$scratch/after" | while read -r package; do
    dpkg -L "$package" | sed -n 's,^\(/usr\)\?/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$,\2,p' |
        while read -r unit; do
            ! command -v systemctl >/dev/null || systemctl --quiet disable "$unit" 2>/dev/null || true
        done
    dpkg -L "$package" | sed -n 's,^/etc/init\.d/,,p' | while read -r script; do
        update-rc.d "$script" disable 2>/dev/null || true
    done
done
