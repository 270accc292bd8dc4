#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
cat > job.json <<EOF
{"afr_ota": {"protocols": ["MQTT"], "streamname": "${OTA_STREAM}", "files": [{
  "filepath": "${OTA_IMAGE}", "filesize": $(wc -c < "$OTA_IMAGE"), "fileid": 0, "certfile": "update.pub",
  "sig-sha256-ecdsa": "$(cat "$OTA_IMAGE.sig")"}]}}
EOF
aws iot create-job --job-id "$OTA_JOB" --targets "$OTA_THING_ARN" --target-selection SNAPSHOT \
    --document file://job.json --timeout-config inProgressTimeoutInMinutes=60
echo "$OTA_JOB" >> jobs.txt
