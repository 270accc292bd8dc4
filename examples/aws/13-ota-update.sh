#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
cat > create-updates.json <<EOF
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["iam:GetRole", "iam:PassRole"], "Resource": "${OTA_ROLE_ARN}"},
  {"Effect": "Allow", "Resource": "*",
   "Action": ["iot:CreateStream", "iot:DeleteStream", "iot:CreateJob", "iot:DescribeJob", "iot:DeleteJob"]}]}
EOF
aws iam put-role-policy --role-name "$OTA_ROLE" --policy-name create-updates \
    --policy-document file://create-updates.json
cat > files.json <<EOF
[{"fileName": "${OTA_IMAGE}", "fileLocation": {"s3Location":
    {"bucket": "${OTA_BUCKET}", "key": "images/${OTA_IMAGE}", "version": "$(cat version-id.txt)"}},
  "codeSigning": {"customCodeSigning": {"signature": {"inlineDocument": "$(cat "$OTA_IMAGE.sig")"},
    "certificateChain": {"certificateName": "update.pub"},
    "hashAlgorithm": "SHA256", "signatureAlgorithm": "ECDSA"}}}]
EOF
aws iot create-ota-update --ota-update-id "${OTA_JOB#AFR_OTA-}" --targets "$OTA_THING_ARN" \
    --target-selection SNAPSHOT --protocols MQTT HTTP --role-arn "$OTA_ROLE_ARN" \
    --files file://files.json --cli-binary-format base64
echo "${OTA_JOB#AFR_OTA-}" >> updates.txt
