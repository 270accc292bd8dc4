#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
cargo run --release -p ota-examples --bin boot-selector -- --flash device.flash \
    --endpoint "$(cat endpoint.txt):8883" --thing "$OTA_THING" \
    --ca AmazonRootCA1.pem --cert device.pem.crt --key private.pem.key \
    --update-key update.pub.pem --allow-host .amazonaws.com
