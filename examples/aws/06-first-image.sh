#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
if [ ! -e update.pub.pem ]; then
    cargo run --release -p ota-cloud --bin ota -- keygen --out keys
    cp keys/public.pem update.pub.pem
fi
OTA_DEVICE_VERSION=1.0.0 cargo build --release -p ota-examples --bin device
cargo run --release -p ota-cloud --bin ota -- sign --key keys/private.pem \
    --version 1.0.0 --hardware demo-linux "$OTA_TARGET/release/device" v1.img
if [ ! -e device.flash ]; then
    cargo run --release -p ota-examples --bin boot-selector -- --flash device.flash --install v1.img
fi
