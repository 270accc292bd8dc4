#!/bin/sh
set -eu
. "$(dirname "$0")/env.sh"
aws iot create-thing --thing-name "$OTA_THING"
aws iot describe-endpoint --endpoint-type iot:Data-ATS --query endpointAddress --output text > endpoint.txt
curl --fail --silent --show-error --output AmazonRootCA1.pem https://www.amazontrust.com/repository/AmazonRootCA1.pem
cat endpoint.txt
