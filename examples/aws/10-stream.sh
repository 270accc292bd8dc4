#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
aws iot create-stream --stream-id "$OTA_STREAM" --role-arn "$OTA_ROLE_ARN" \
    --files "fileId=0,s3Location={bucket=$OTA_BUCKET,key=images/$OTA_IMAGE,version=$(cat version-id.txt)}"
echo "$OTA_STREAM" >> streams.txt
