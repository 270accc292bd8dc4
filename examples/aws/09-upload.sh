#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
aws s3api put-object --bucket "$OTA_BUCKET" --key "images/$OTA_IMAGE" --body "$OTA_IMAGE" \
    --query VersionId --output text > version-id.txt
cat version-id.txt
