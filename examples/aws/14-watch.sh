#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
aws iot describe-job-execution --job-id "$OTA_JOB" --thing-name "$OTA_THING" \
    --query 'execution.[status, statusDetails.detailsMap]' --output json
