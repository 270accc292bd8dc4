#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
if [ ! -s certificate-arn.txt ]; then
    openssl ecparam -name prime256v1 -genkey -noout -out private.pem.key
    openssl req -new -key private.pem.key -subj "/CN=$OTA_THING" -out device.csr
    aws iot create-certificate-from-csr --set-as-active --certificate-signing-request file://device.csr \
        --certificate-pem-outfile device.pem.crt --query certificateArn --output text > certificate-arn.txt
fi
aws iot attach-thing-principal --thing-name "$OTA_THING" --principal "$(cat certificate-arn.txt)"
