#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
if [ "$AWS_REGION" = us-east-1 ]; then
    aws s3api create-bucket --bucket "$OTA_BUCKET"
else
    aws s3api create-bucket --bucket "$OTA_BUCKET" --create-bucket-configuration "LocationConstraint=$AWS_REGION"
fi
aws s3api put-public-access-block --bucket "$OTA_BUCKET" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
aws s3api put-bucket-versioning --bucket "$OTA_BUCKET" --versioning-configuration Status=Enabled
