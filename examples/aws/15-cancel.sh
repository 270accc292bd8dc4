#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
aws iot cancel-job --job-id "$OTA_JOB" --force --comment "taken back by hand"
