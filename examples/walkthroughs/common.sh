# What the walk-throughs share: the programs, a job service, and devices as processes of this machine. All of it ends, and its folder
# is removed, when the script ends. The program of a device is a shell script that starts the device program, so that a new version is
# made in an instant; on a board it is your firmware.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ -z "${OTA_PROGRAMS:-}" ]; then
    cargo build --quiet --package ota-cloud --bins --package ota-examples --bin boot-selector --bin device
    OTA_PROGRAMS=${CARGO_TARGET_DIR:-target}/debug
fi
OTA_PROGRAMS=$(realpath "$OTA_PROGRAMS")
export PATH=$OTA_PROGRAMS:$PATH
cd "$(mktemp -d)"
# Devices and service end when nobody holds this open for writing.
mkfifo alive ready
exec {alive}<>alive
trap 'kill $(jobs -p) 2>/dev/null || true; wait || true; rm -rf "$PWD"' EXIT

# Prints a command and runs it, for a minute at most.
run() {
    printf '$ %s\n' "$*"
    timeout 60 "$@"
}

say() {
    printf '\n# %s\n' "$*"
}

# service: starts the job service; `ota` finds it, and `mqtt` is the address of its broker.
service() {
    ota-cloud serve --data cloud --mqtt 127.0.0.1:0 --http 127.0.0.1:0 --log quiet >ready {alive}>&- &
    read -r _ mqtt http <ready
    mqtt=${mqtt#mqtt=}
    export OTA_SERVER=http://${http#http=} OTA_TOKEN_FILE=cloud/token
    ota keygen --out keys >/dev/null
}

# image FILE VERSION [OPTION..]: signs an image whose program runs the lines of standard input first.
image() {
    { echo '#!/bin/sh' && cat && printf 'exec %q "$@"\n' "$OTA_PROGRAMS/device"; } >program
    run ota sign --key keys/private.pem --version "$2" --hardware demo-linux "${@:3}" program "$1"
}

# device THING IMAGE: installs the image on a new device and switches it on. It postpones updates while the file THING.hold is there.
device() {
    boot-selector --flash "$1.flash" --install "$2" >/dev/null
    boot-selector --flash "$1.flash" --leave-with-parent --endpoint "$mqtt" --thing "$1" --update-key keys/public.pem \
        --hold "$1.hold" <alive >"$1.log" {alive}>&- &
}

# expect COUNT TEXT FILE..: fails unless that many of the files contain the text.
expect() {
    local found
    found=$({ grep -l -e "$2" "${@:3}" || true; } | wc -l)
    if [ "$found" -ne "$1" ]; then
        echo "\"$2\" is in $found files, not in $1" >&2
        exit 1
    fi
}
