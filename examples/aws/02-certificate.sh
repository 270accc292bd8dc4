#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
if [ ! -s certificate-arn.txt ]; then
    aws iot create-keys-and-certificate --set-as-active --certificate-pem-outfile device.pem.crt \
        --public-key-outfile public.pem.key --private-key-outfile private.pem.key \
        --query certificateArn --output text > certificate-arn.txt
fi
aws iot attach-thing-principal --thing-name "$OTA_THING" --principal "$(cat certificate-arn.txt)"
