#!/bin/sh
# Names that every step uses; set one beforehand to choose another. Sourced in the top folder of the repository.
# What the steps make lies in examples/aws/files, which only you can read and which git leaves alone.
: "${OTA_ROOT:=$PWD}"
if [ ! -f "$OTA_ROOT/examples/aws/env.sh" ]; then
    echo "start in the top folder of the repository, or set OTA_ROOT to it" >&2
    return 1
fi
: "${AWS_REGION:=eu-central-1}"
: "${OTA_ACCOUNT:=$(aws sts get-caller-identity --query Account --output text)}"
: "${OTA_ACCOUNT:?the aws command has no account: log in first}"
: "${OTA_THING:=my-thing}"
: "${OTA_POLICY:=ota-device}"
: "${OTA_ROLE:=ota-reader}"
: "${OTA_BUCKET:=ota-images-$OTA_ACCOUNT-$AWS_REGION}"
: "${OTA_VERSION:=2.0.0}"
AWS_DEFAULT_REGION=$AWS_REGION
AWS_PAGER=
OTA_THING_ARN="arn:aws:iot:$AWS_REGION:$OTA_ACCOUNT:thing/$OTA_THING"
OTA_ROLE_ARN="arn:aws:iam::$OTA_ACCOUNT:role/$OTA_ROLE"
OTA_TARGET=${CARGO_TARGET_DIR:-$OTA_ROOT/target}
OTA_IMAGE="v$OTA_VERSION.img"
# Job and stream ids take no dots; the prefix is what create-ota-update puts before its own.
OTA_JOB="AFR_OTA-$(echo "$OTA_VERSION" | tr . -)"
OTA_STREAM="$OTA_JOB"
export OTA_ROOT AWS_REGION AWS_DEFAULT_REGION AWS_PAGER OTA_ACCOUNT OTA_THING OTA_POLICY OTA_ROLE OTA_BUCKET OTA_VERSION
export OTA_THING_ARN OTA_ROLE_ARN OTA_TARGET OTA_IMAGE OTA_JOB OTA_STREAM
mkdir -p "$OTA_ROOT/examples/aws/files"
chmod 700 "$OTA_ROOT/examples/aws/files"
echo '*' > "$OTA_ROOT/examples/aws/files/.gitignore"
cd "$OTA_ROOT/examples/aws/files" || return 1
