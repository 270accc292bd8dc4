#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
try() { "$@" || echo "not done: $*" >&2; }
named() { cat "$1" 2> /dev/null || true; }
for update in $(named updates.txt); do
    try aws iot delete-ota-update --ota-update-id "$update" --delete-stream --force-delete-aws-job
done
for job in $(named jobs.txt); do try aws iot delete-job --job-id "$job" --force; done
for stream in $(named streams.txt); do try aws iot delete-stream --stream-id "$stream"; done
try aws iam delete-role-policy --role-name "$OTA_ROLE" --policy-name create-updates
try aws iam delete-role-policy --role-name "$OTA_ROLE" --policy-name read-images
try aws iam delete-role --role-name "$OTA_ROLE"
aws s3api list-object-versions --bucket "$OTA_BUCKET" --output json \
    --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}' > versions.json || true
try aws s3api delete-objects --bucket "$OTA_BUCKET" --delete file://versions.json
try aws s3api delete-bucket --bucket "$OTA_BUCKET"
for arn in $(named certificate-arn.txt); do
    try aws iot detach-policy --policy-name "$OTA_POLICY" --target "$arn"
    try aws iot detach-thing-principal --thing-name "$OTA_THING" --principal "$arn"
    try aws iot update-certificate --certificate-id "${arn##*/}" --new-status INACTIVE
    try aws iot delete-certificate --certificate-id "${arn##*/}"
done
try aws iot delete-policy --policy-name "$OTA_POLICY"
try aws iot delete-thing --thing-name "$OTA_THING"
