#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
OTA_DEVICE_VERSION="$OTA_VERSION" cargo build --release -p ota-examples --bin device
cargo run --release -p ota-cloud --bin ota -- sign --key keys/private.pem \
    --version "$OTA_VERSION" --hardware demo-linux "$OTA_TARGET/release/device" "$OTA_IMAGE"
cargo run --release -p ota-cloud --bin ota -- verify --key update.pub.pem "$OTA_IMAGE"
