#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
cat > job.json <<EOF
{"afr_ota": {"protocols": ["HTTP"], "files": [{
  "filepath": "${OTA_IMAGE}", "filesize": $(wc -c < "$OTA_IMAGE"), "fileid": 0, "certfile": "update.pub",
  "update_data_url":
    "\${aws:iot:s3-presigned-url:https://s3.${AWS_REGION}.amazonaws.com/${OTA_BUCKET}/images/${OTA_IMAGE}}",
  "auth_scheme": "aws.s3.presigned", "sig-sha256-ecdsa": "$(cat "$OTA_IMAGE.sig")"}]}}
EOF
aws iot create-job --job-id "$OTA_JOB" --targets "$OTA_THING_ARN" --target-selection SNAPSHOT \
    --document file://job.json --timeout-config inProgressTimeoutInMinutes=60 \
    --presigned-url-config "roleArn=$OTA_ROLE_ARN,expiresInSec=3600"
echo "$OTA_JOB" >> jobs.txt
