#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
cat > trust.json <<EOF
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
  "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole",
  "Condition": {"StringEquals": {"aws:SourceAccount": "${OTA_ACCOUNT}"},
    "ArnLike": {"aws:SourceArn": "arn:aws:iot:${AWS_REGION}:${OTA_ACCOUNT}:*"}}}]}
EOF
cat > read-images.json <<EOF
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
  "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": "arn:aws:s3:::${OTA_BUCKET}/images/*"}]}
EOF
aws iam create-role --role-name "$OTA_ROLE" --assume-role-policy-document file://trust.json
aws iam put-role-policy --role-name "$OTA_ROLE" --policy-name read-images --policy-document file://read-images.json
