#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
arn="arn:aws:iot:${AWS_REGION}:${OTA_ACCOUNT}"
name="\${iot:Connection.Thing.ThingName}"
own="\$aws/things/${name}"
cat > policy.json <<EOF
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "iot:Connect", "Resource": "${arn}:client/${name}",
   "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}},
  {"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish"], "Resource": [
    "${arn}:topic/ota/things/${name}/report",
    "${arn}:topic/${own}/jobs/*/get",
    "${arn}:topic/${own}/jobs/*/update",
    "${arn}:topic/${own}/streams/*/get/cbor"]},
  {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": [
    "${arn}:topicfilter/${own}/jobs/notify*",
    "${arn}:topicfilter/${own}/jobs/*/get/*",
    "${arn}:topicfilter/${own}/jobs/*/update/*",
    "${arn}:topicfilter/${own}/streams/*/data/cbor",
    "${arn}:topicfilter/${own}/streams/*/rejected/cbor"]},
  {"Effect": "Allow", "Action": "iot:Receive", "Resource": [
    "${arn}:topic/${own}/jobs/notify*",
    "${arn}:topic/${own}/jobs/*/get/*",
    "${arn}:topic/${own}/jobs/*/update/*",
    "${arn}:topic/${own}/streams/*/data/cbor",
    "${arn}:topic/${own}/streams/*/rejected/cbor"]}
]}
EOF
aws iot create-policy --policy-name "$OTA_POLICY" --policy-document file://policy.json
aws iot attach-policy --policy-name "$OTA_POLICY" --target "$(cat certificate-arn.txt)"
