"""Calls of boto3 against the service at AWS_ENDPOINT_URL; `aws_api.rs` runs a step by its name, and checks the devices."""

import contextlib
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# No retries, and no checks of the client: an error must be the first response of the service.
CONFIG = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
iot = boto3.client("iot", config=CONFIG)
data = boto3.client("iot-jobs-data", config=CONFIG)
sts = boto3.client("sts", config=CONFIG)
s3 = boto3.client("s3", config=CONFIG)


def thing_arn(name):
    return f"arn:aws:iot:eu-central-1:000000000000:thing/{name}"


def group_arn(name):
    return f"arn:aws:iot:eu-central-1:000000000000:thinggroup/{name}"


@contextlib.contextmanager
def refused(code, status):
    """The calls inside must fail with this error."""
    try:
        yield
    except ClientError as error:
        response = error.response
        got = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
        assert got == (code, status), response
        assert response["Error"]["Message"], response
    else:
        raise AssertionError(f"not refused with {code}")


def identity():
    found = sts.get_caller_identity()
    assert found["Account"] == "000000000000" and found["Arn"].startswith("arn:aws:iam::000000000000:user/AKIA"), found
    address = iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert address.startswith("127.0.0.1:"), address
    assert iot.describe_endpoint(endpointType="iot:Jobs")["endpointAddress"] in iot.meta.endpoint_url
    with refused("InvalidRequestException", 400):
        iot.describe_endpoint(endpointType="iot:CredentialProvider")
    with refused("UnknownOperationException", 404):
        iot.list_policies()
    with refused("AccessDeniedException", 403):
        boto3.client("iotwireless", config=CONFIG).list_destinations()


def unknown_key():
    with refused("UnrecognizedClientException", 403):
        iot.list_jobs()
    with refused("UnrecognizedClientException", 403):
        sts.get_caller_identity()


def wrong_secret():
    with refused("SignatureDoesNotMatch", 403):
        iot.list_jobs()


def things():
    lamp = iot.create_thing(thingName="lamp", attributePayload={"attributes": {"room": "kitchen", "floor": "1"}})
    assert lamp["thingArn"] == thing_arn("lamp"), lamp
    iot.create_thing(thingName="lamp", attributePayload={"attributes": {"room": "kitchen", "floor": "1"}})
    with refused("ResourceAlreadyExistsException", 409):
        iot.create_thing(thingName="lamp")
    described = iot.describe_thing(thingName="lamp")
    assert described["attributes"] == {"room": "kitchen", "floor": "1"} and described["version"] == 1, described
    iot.update_thing(thingName="lamp", expectedVersion=1, attributePayload={"attributes": {"floor": ""}, "merge": True})
    with refused("VersionConflictException", 409):
        iot.update_thing(thingName="lamp", expectedVersion=1, attributePayload={"attributes": {}})
    described = iot.describe_thing(thingName="lamp")
    assert described["attributes"] == {"room": "kitchen"} and described["version"] == 2, described
    for number in range(7):
        iot.create_thing(thingName=f"t:{number}", attributePayload={"attributes": {"room": "cellar"}})
    pages = list(iot.get_paginator("list_things").paginate(maxResults=3))
    names = [thing["thingName"] for page in pages for thing in page["things"]]
    assert names == ["lamp"] + [f"t:{number}" for number in range(7)] and len(pages) == 3, names
    cellar = iot.list_things(attributeName="room", attributeValue="cellar")["things"]
    assert [thing["thingName"] for thing in cellar] == [f"t:{number}" for number in range(7)], cellar
    with refused("InvalidRequestException", 400):
        iot.list_things(maxResults=251)
    with refused("InvalidRequestException", 400):
        iot.list_things(nextToken="other")
    with refused("InvalidRequestException", 400):
        iot.create_thing(thingName="b", thingTypeName="bulb")
    with refused("ResourceNotFoundException", 404):
        iot.describe_thing(thingName="nothing")
    iot.delete_thing(thingName="t:6")
    with refused("ResourceNotFoundException", 404):
        iot.delete_thing(thingName="t:6")


def groups():
    group = iot.create_thing_group(
        thingGroupName="lights", thingGroupProperties={"thingGroupDescription": "all of them"}
    )
    assert group["thingGroupArn"] == group_arn("lights"), group
    with refused("ResourceAlreadyExistsException", 409):
        iot.create_thing_group(thingGroupName="lights")
    described = iot.describe_thing_group(thingGroupName="lights")
    assert described["thingGroupProperties"]["thingGroupDescription"] == "all of them", described
    for name in ["t:1", "t:2", "t:3"]:
        iot.add_thing_to_thing_group(thingGroupName="lights", thingName=name)
    iot.add_thing_to_thing_group(thingGroupArn=group_arn("lights"), thingArn=thing_arn("t:4"))
    iot.remove_thing_from_thing_group(thingGroupName="lights", thingName="t:3")
    pages = list(iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName="lights", maxResults=2))
    assert [page["things"] for page in pages] == [["t:1", "t:2"], ["t:4"]], pages
    iot.create_thing_group(thingGroupName="empty")
    listed = iot.list_thing_groups()["thingGroups"]
    assert [group["groupName"] for group in listed] == ["empty", "lights"], listed
    assert [g["groupName"] for g in iot.list_thing_groups(namePrefixFilter="li")["thingGroups"]] == ["lights"]
    of_thing = iot.list_thing_groups_for_thing(thingName="t:4")["thingGroups"]
    assert of_thing == [{"groupName": "lights", "groupArn": group_arn("lights")}], of_thing
    with refused("ResourceNotFoundException", 404):
        iot.add_thing_to_thing_group(thingGroupName="nothing", thingName="t:1")
    with refused("ResourceNotFoundException", 404):
        iot.add_thing_to_thing_group(thingGroupName="lights", thingName="nothing")
    iot.delete_thing_group(thingGroupName="empty")
    iot.delete_thing_group(thingGroupName="empty")


ROLLOUT = {
    "maximumPerMinute": 1000,
    "exponentialRate": {
        "baseRatePerMinute": 1000,
        "incrementFactor": 1.5,
        "rateIncreaseCriteria": {"numberOfSucceededThings": 1},
    },
}
ABORT = {
    "criteriaList": [
        {"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 50, "minNumberOfExecutedThings": 10}
    ]
}
RETRY = {"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]}


def create_job():
    created = iot.create_job(
        jobId="one",
        targets=[thing_arn("lamp")],
        document=json.dumps({"do": "blink"}),
        description="a first job",
        timeoutConfig={"inProgressTimeoutInMinutes": 60},
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/ota-reader", "expiresInSec": 3600},
        tags=[{"Key": "team", "Value": "lights"}],
    )
    assert created["jobArn"] == "arn:aws:iot:eu-central-1:000000000000:job/one" and created["jobId"] == "one", created
    job = iot.describe_job(jobId="one")["job"]
    assert job["status"] == "IN_PROGRESS" and job["targets"] == [thing_arn("lamp")], job
    assert job["targetSelection"] == "SNAPSHOT" and job["description"] == "a first job", job
    assert job["timeoutConfig"] == {"inProgressTimeoutInMinutes": 60}, job
    assert job["presignedUrlConfig"]["expiresInSec"] == 3600, job
    assert job["jobProcessDetails"]["numberOfQueuedThings"] == 1, job
    assert json.loads(iot.get_job_document(jobId="one")["document"]) == {"do": "blink"}
    with refused("ResourceAlreadyExistsException", 409):
        iot.create_job(jobId="one", targets=[thing_arn("lamp")], document="{}")
    with refused("InvalidStateTransitionException", 409):
        iot.delete_job(jobId="one")


def invalid_jobs():
    def create(**other):
        iot.create_job(**{"jobId": "bad", "targets": [thing_arn("lamp")], "document": "{}", **other})

    with refused("ResourceNotFoundException", 404):
        create(targets=[thing_arn("nothing")])
    with refused("ResourceNotFoundException", 404):
        create(targets=[group_arn("nothing")])
    windows = {"maintenanceWindows": [{"startTime": "cron(0 0 * * * *)", "durationInMinutes": 60}]}
    soon = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + 7200))
    # A minute on the last day of February.
    late = {"maintenanceWindows": [{"startTime": "cron(0 2 L 2 ? *)", "durationInMinutes": 1}], "endTime": soon}
    for other in [
        {"targets": ["lamp"]},
        {"targets": []},
        {"document": "[]"},
        {"document": "{"},
        {"document": "{\"a\":" * 200 + "1" + "}" * 200},
        {"document": json.dumps({"a": "b" * 32768})},
        {"description": "d" * 2029},
        {"jobId": "no spaces"},
        {"schedulingConfig": windows},
        {"schedulingConfig": late},
        {"schedulingConfig": {"startTime": "2020-01-01 10:00"}},
        {"timeoutConfig": {"inProgressTimeoutInMinutes": 10081}},
        {"jobExecutionsRolloutConfig": {"maximumPerMinute": 1001}},
        {"namespaceId": "other"},
        {"documentParameters": {"a": "b"}},
        {"targetSelection": "CONTINUOUS"},
    ]:
        with refused("InvalidRequestException", 400):
            create(**other)


def in_progress():
    execution = iot.describe_job_execution(jobId="one", thingName="lamp")["execution"]
    assert execution["status"] == "IN_PROGRESS" and execution["versionNumber"] == 2, execution
    assert execution["statusDetails"]["detailsMap"] == {"step": "1"}, execution
    assert 3500 < execution["approximateSecondsBeforeTimedOut"] <= 3600, execution
    of_job = iot.list_job_executions_for_job(jobId="one")["executionSummaries"]
    assert len(of_job) == 1 and of_job[0]["thingArn"] == thing_arn("lamp"), of_job
    assert of_job[0]["jobExecutionSummary"]["status"] == "IN_PROGRESS", of_job
    of_thing = iot.list_job_executions_for_thing(thingName="lamp", status="IN_PROGRESS")["executionSummaries"]
    assert [row["jobId"] for row in of_thing] == ["one"], of_thing
    assert not iot.list_job_executions_for_thing(thingName="lamp", status="QUEUED")["executionSummaries"]
    with refused("InvalidStateTransitionException", 409):
        iot.cancel_job_execution(jobId="one", thingName="lamp")
    with refused("VersionConflictException", 409):
        iot.cancel_job_execution(jobId="one", thingName="lamp", expectedVersion=1, force=True)
    with refused("ResourceNotFoundException", 404):
        iot.cancel_job_execution(jobId="one", thingName="t:1", force=True)
    with refused("InvalidStateTransitionException", 409):
        iot.delete_job_execution(jobId="one", thingName="lamp", executionNumber=1)
    iot.cancel_job_execution(
        jobId="one", thingName="lamp", expectedVersion=2, force=True, statusDetails={"why": "taken back"}
    )
    execution = iot.describe_job_execution(jobId="one", thingName="lamp", executionNumber=1)["execution"]
    assert execution["status"] == "CANCELED" and execution["statusDetails"]["detailsMap"] == {"why": "taken back"}
    assert iot.describe_job(jobId="one")["job"]["status"] == "COMPLETED"
    with refused("InvalidStateTransitionException", 409):
        iot.cancel_job_execution(jobId="one", thingName="lamp", force=True)
    with refused("ResourceNotFoundException", 404):
        iot.delete_job_execution(jobId="one", thingName="lamp", executionNumber=2)
    iot.delete_job_execution(jobId="one", thingName="lamp", executionNumber=1)
    assert not iot.list_job_executions_for_job(jobId="one")["executionSummaries"]
    iot.delete_job(jobId="one")
    with refused("ResourceNotFoundException", 404):
        iot.describe_job(jobId="one")


def continuous():
    iot.create_job(
        jobId="all",
        targets=[group_arn("lights")],
        document="{}",
        targetSelection="CONTINUOUS",
        jobExecutionsRolloutConfig=ROLLOUT,
        abortConfig=ABORT,
        jobExecutionsRetryConfig=RETRY,
    )
    job = iot.describe_job(jobId="all")["job"]
    assert job["jobExecutionsRolloutConfig"] == ROLLOUT and job["jobExecutionsRetryConfig"] == RETRY, job
    assert job["abortConfig"] == ABORT and job["targets"] == [group_arn("lights")], job
    iot.update_job(jobId="all", description="for all", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    job = iot.describe_job(jobId="all")["job"]
    assert job["description"] == "for all" and job["timeoutConfig"]["inProgressTimeoutInMinutes"] == 5, job
    assert job["jobExecutionsRolloutConfig"] == ROLLOUT, job
    iot.add_thing_to_thing_group(thingGroupName="lights", thingName="t:3")
    iot.associate_targets_with_job(jobId="all", targets=[thing_arn("lamp")])
    assert thing_arn("lamp") in iot.describe_job(jobId="all")["job"]["targets"]
    with refused("InvalidRequestException", 400):
        iot.create_job(jobId="once", targets=[thing_arn("t:0")], document="{}")
        iot.associate_targets_with_job(jobId="once", targets=[thing_arn("lamp")])


def lists():
    for number in range(5):
        iot.create_job(jobId=f"list-{number}", targets=[thing_arn("t:0")], document="{}")
    pages = list(iot.get_paginator("list_jobs").paginate(maxResults=3))
    jobs = [job["jobId"] for page in pages for job in page["jobs"]]
    assert jobs == ["list-4", "list-3", "list-2", "list-1", "list-0", "once", "all"] and len(pages) == 3, jobs
    continuous = iot.list_jobs(targetSelection="CONTINUOUS", thingGroupName="lights", status="IN_PROGRESS")["jobs"]
    assert [job["jobId"] for job in continuous] == ["all"], continuous
    assert not iot.list_jobs(status="CANCELED")["jobs"]
    pages = list(iot.get_paginator("list_job_executions_for_thing").paginate(thingName="t:0", maxResults=4))
    ids = [row["jobId"] for page in pages for row in page["executionSummaries"]]
    assert ids == ["list-4", "list-3", "list-2", "list-1", "list-0", "once"] and len(pages) == 2, ids
    iot.create_job(
        jobId="later", targets=[thing_arn("t:0")], document="{}", schedulingConfig={"startTime": sys.argv[2]}
    )
    assert [job["jobId"] for job in iot.list_jobs(status="SCHEDULED")["jobs"]] == ["later"]
    assert iot.describe_job(jobId="later")["job"]["schedulingConfig"] == {"startTime": sys.argv[2]}
    windows = {"maintenanceWindows": [{"startTime": "cron(30 2 ? * SUN *)", "durationInMinutes": 60}]}
    iot.create_job(jobId="windows", targets=[thing_arn("t:0")], document="{}", schedulingConfig=windows)
    job = iot.describe_job(jobId="windows")["job"]
    assert job["schedulingConfig"] == windows and job["status"] == "IN_PROGRESS", job
    starts = [rollout["startTime"] for rollout in job["scheduledJobRollouts"]]
    assert len(starts) == 7 and all(start.endswith(" 02:30") for start in starts), starts


def cancel():
    iot.cancel_job(jobId="all", reasonCode="BAD", comment="taken back by hand", force=True)
    job = iot.describe_job(jobId="all")["job"]
    assert job["status"] == "CANCELED" and job["forceCanceled"], job
    assert job["reasonCode"] == "BAD" and job["comment"] == "taken back by hand", job
    assert [job["jobId"] for job in iot.list_jobs(status="CANCELED")["jobs"]] == ["all"]
    with refused("InvalidRequestException", 400):
        iot.cancel_job(jobId="all")
    with refused("InvalidRequestException", 400):
        iot.update_job(jobId="all", description="late")
    with refused("ResourceNotFoundException", 404):
        iot.cancel_job(jobId="nothing")


def delete_pending():
    iot.create_job(jobId="gone", targets=[thing_arn("lamp")], document="{}")


def delete_by_force():
    with refused("InvalidStateTransitionException", 409):
        iot.delete_job(jobId="gone", force=False)
    iot.delete_job(jobId="gone", force=True)
    with refused("ResourceNotFoundException", 404):
        iot.delete_job(jobId="gone", force=True)


def data_plane():
    assert data.get_pending_job_executions(thingName="lamp")["queuedJobs"] == []
    assert "execution" not in data.start_next_pending_job_execution(thingName="lamp")
    iot.create_job(jobId="data", targets=[thing_arn("lamp")], document=json.dumps({"do": "blink"}))
    queued = data.get_pending_job_executions(thingName="lamp")["queuedJobs"]
    assert [job["jobId"] for job in queued] == ["data"] and queued[0]["versionNumber"] == 1, queued
    started = data.start_next_pending_job_execution(thingName="lamp", statusDetails={"a": "b"}, stepTimeoutInMinutes=5)
    execution = started["execution"]
    assert execution["status"] == "IN_PROGRESS" and json.loads(execution["jobDocument"]) == {"do": "blink"}, execution
    assert execution["statusDetails"] == {"a": "b"} and execution["thingName"] == "lamp", execution
    described = data.describe_job_execution(thingName="lamp", jobId="$next", includeJobDocument=False)["execution"]
    assert described["jobId"] == "data" and "jobDocument" not in described, described
    with refused("InvalidRequestException", 400):
        data.update_job_execution(thingName="lamp", jobId="data", status="SUCCEEDED", expectedVersion=1)
    with refused("InvalidRequestException", 400):
        data.update_job_execution(thingName="lamp", jobId="data", status="SUCCEEDED", statusDetails={"no blank": "a"})
    updated = data.update_job_execution(
        thingName="lamp",
        jobId="data",
        status="SUCCEEDED",
        expectedVersion=2,
        includeJobExecutionState=True,
        includeJobDocument=True,
    )
    assert updated["executionState"]["status"] == "SUCCEEDED" and updated["executionState"]["versionNumber"] == 3
    assert json.loads(updated["jobDocument"]) == {"do": "blink"}, updated
    with refused("InvalidStateTransitionException", 409):
        data.update_job_execution(thingName="lamp", jobId="data", status="IN_PROGRESS")
    with refused("TerminalStateException", 410):
        data.describe_job_execution(thingName="lamp", jobId="data")
    with refused("ResourceNotFoundException", 404):
        data.describe_job_execution(thingName="lamp", jobId="nothing")


def objects():
    metadata = {"ota-signature": "MEUC", "build": "7 of 9"}
    first = s3.put_object(Bucket="images", Key="a b/v1.img", Body=b"first", Metadata=metadata)
    second = s3.put_object(Bucket="images", Key="a b/v1.img", Body=b"second, and longer")
    assert first["VersionId"] != second["VersionId"], (first, second)
    assert s3.head_object(Bucket="images", Key="a b/v1.img")["ContentLength"] == 18
    newest = s3.get_object(Bucket="images", Key="a b/v1.img")
    assert newest["Body"].read() == b"second, and longer" and newest["VersionId"] == second["VersionId"], newest
    older = s3.get_object(Bucket="images", Key="a b/v1.img", VersionId=first["VersionId"], Range="bytes=1-3")
    assert older["Body"].read() == b"irs", older
    for other in [{"Key": "nothing"}, {"VersionId": "0"}, {"Bucket": "others"}]:
        with refused("NoSuchKey", 404):
            s3.get_object(**{"Bucket": "images", "Key": "a b/v1.img", **other})
    s3.delete_object(Bucket="images", Key="a b/v1.img", VersionId=second["VersionId"])
    head = s3.head_object(Bucket="images", Key="a b/v1.img")
    assert head["VersionId"] == first["VersionId"] and head["Metadata"] == metadata, head
    s3.delete_object(Bucket="images", Key="a b/v1.img")
    s3.delete_object(Bucket="images", Key="a b/v1.img")
    with refused("NotImplemented", 501):
        s3.create_multipart_upload(Bucket="images", Key="big")
    with refused("NotImplemented", 501):
        s3.list_buckets()
    with refused("InvalidRequestException", 400):
        s3.put_object(Bucket="images", Key="k" * 257, Body=b"")
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket="images", Key="bad", Body=b"", Metadata={"long": "x" * 2048})
    with refused("BadDigest", 400):
        s3.put_object(Bucket="images", Key="bad", Body=b"abc", ChecksumCRC32="AAAAAA==")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket="images", Key="bad")


def upload_over_tls():
    """Over TLS the body is sent in chunks, with its checksum behind them."""
    stored = s3.put_object(Bucket="images", Key="v1.img", Body=open(sys.argv[2], "rb"))
    got = s3.get_object(Bucket="images", Key="v1.img", VersionId=stored["VersionId"])["Body"].read()
    assert got == open(sys.argv[2], "rb").read()


ROLE = "arn:aws:iam::000000000000:role/ota-reader"


def streams():
    iot.create_thing(thingName="lamp")
    version = s3.put_object(Bucket="images", Key="v1.img", Body=open(sys.argv[2], "rb"))["VersionId"]
    location = {"bucket": "images", "key": "v1.img", "version": version}
    files = [{"fileId": 3, "s3Location": location}]
    created = iot.create_stream(streamId="first", description="one file", files=files, roleArn=ROLE)
    assert created["streamVersion"] == 1 and created["streamArn"].endswith(":stream/first"), created
    with refused("ResourceAlreadyExistsException", 409):
        iot.create_stream(streamId="first", files=files, roleArn=ROLE)
    info = iot.describe_stream(streamId="first")["streamInfo"]
    assert info["files"] == files and info["roleArn"] == ROLE and info["description"] == "one file", info
    for bad in [[], files + files, [{"fileId": 0, "s3Location": {"bucket": "images", "key": "nothing"}}]]:
        with refused("InvalidRequestException", 400):
            iot.create_stream(streamId="bad", files=bad, roleArn=ROLE)
    iot.create_stream(streamId="second", files=files, roleArn=ROLE)
    pages = list(iot.get_paginator("list_streams").paginate(maxResults=1))
    assert [page["streams"][0]["streamId"] for page in pages] == ["first", "second"], pages
    iot.delete_stream(streamId="second")
    with refused("ResourceNotFoundException", 404):
        iot.describe_stream(streamId="second")
    document = json.dumps({"afr_ota": {"protocols": ["MQTT"], "streamname": "first", "files": []}})
    iot.create_job(jobId="streamed", targets=[thing_arn("lamp")], document=document)


def placeholders():
    iot.delete_stream(streamId="first")
    url = "${aws:iot:s3-presigned-url:https://s3.eu-central-1.amazonaws.com/images/%s}"
    iot.create_job(jobId="url", targets=[thing_arn("lamp")], document=json.dumps({"url": url % "v1.img"}))
    with refused("InvalidRequestException", 400):
        iot.create_job(jobId="no-url", targets=[thing_arn("lamp")], document=json.dumps({"url": url % "nothing"}))
    s3.put_object(Bucket="images", Key="job.json", Body=b'{"from": "an object"}')
    source = "https://s3.eu-central-1.amazonaws.com/images/job.json"
    iot.create_job(jobId="source", targets=[thing_arn("lamp")], documentSource=source)
    assert json.loads(iot.get_job_document(jobId="source")["document"]) == {"from": "an object"}
    with refused("InvalidRequestException", 400):
        iot.create_job(jobId="no", targets=[thing_arn("lamp")], documentSource=source.replace("job", "nothing"))


def ota_update():
    for job in ["streamed", "url", "source"]:
        iot.delete_job(jobId=job, force=True)
    file = {
        "fileName": "app.img",
        "fileType": 0,
        "fileLocation": {"s3Location": {"bucket": "images", "key": "v1.img"}},
        "codeSigning": {
            "customCodeSigning": {
                "signature": {"inlineDocument": b"\x30\x45\x02\x21\xff\xfe"},
                "certificateChain": {"certificateName": "update.pub"},
                "hashAlgorithm": "SHA256",
                "signatureAlgorithm": "ECDSA",
            }
        },
    }
    request = {
        "otaUpdateId": "2-0-0",
        "targets": [thing_arn("lamp")],
        "targetSelection": "SNAPSHOT",
        "protocols": ["MQTT", "HTTP"],
        "roleArn": ROLE,
        "files": [file],
        "awsJobExecutionsRolloutConfig": {"maximumPerMinute": 1000},
        "awsJobAbortConfig": {"abortCriteriaList": ABORT["criteriaList"]},
        "awsJobTimeoutConfig": {"inProgressTimeoutInMinutes": 60},
    }
    created = iot.create_ota_update(**request)
    assert created["awsIotJobId"] == "AFR_OTA-2-0-0" and created["otaUpdateStatus"] == "CREATE_COMPLETE", created
    with refused("ResourceAlreadyExistsException", 409):
        iot.create_ota_update(**request)
    info = iot.get_ota_update(otaUpdateId="2-0-0")["otaUpdateInfo"]
    assert info["protocols"] == ["MQTT", "HTTP"] and info["targets"] == [thing_arn("lamp")], info
    got = info["otaUpdateFiles"][0]
    assert got["fileName"] == "app.img" and got["codeSigning"] == file["codeSigning"], got
    assert [update["otaUpdateId"] for update in iot.list_ota_updates()["otaUpdates"]] == ["2-0-0"]
    job = iot.describe_job(jobId="AFR_OTA-2-0-0")["job"]
    assert job["abortConfig"] == ABORT and job["timeoutConfig"]["inProgressTimeoutInMinutes"] == 60, job
    for other in [
        {"files": [{**file, "codeSigning": {"awsSignerJobId": "1"}}]},
        {"files": [{**file, "fileLocation": {"stream": {"streamId": "nothing", "fileId": 0}}}]},
        {"files": []},
    ]:
        with refused("InvalidRequestException", 400):
            iot.create_ota_update(**{**request, "otaUpdateId": "other", **other})


def delete_ota_update():
    with refused("InvalidStateTransitionException", 409):
        iot.delete_ota_update(otaUpdateId="2-0-0")
    iot.delete_ota_update(otaUpdateId="2-0-0", deleteStream=True, forceDeleteAWSJob=True)
    with refused("ResourceNotFoundException", 404):
        iot.get_ota_update(otaUpdateId="2-0-0")
    with refused("ResourceNotFoundException", 404):
        iot.describe_job(jobId="AFR_OTA-2-0-0")


def templates():
    iot.create_job(jobId="base", targets=[thing_arn("lamp")], document='{"a":1}', jobExecutionsRetryConfig=RETRY)
    base = "arn:aws:iot:eu-central-1:000000000000:job/base"
    created = iot.create_job_template(jobTemplateId="of-job", jobArn=base, description="as base", abortConfig=ABORT)
    arn = created["jobTemplateArn"]
    assert arn == "arn:aws:iot:eu-central-1:000000000000:jobtemplate/of-job", arn
    with refused("ConflictException", 409):
        iot.create_job_template(jobTemplateId="of-job", document="{}", description="again")
    with refused("InvalidRequestException", 400):
        iot.create_job_template(jobTemplateId="none", description="without a document")
    template = iot.describe_job_template(jobTemplateId="of-job")
    assert template["document"] == '{"a":1}' and template["description"] == "as base", template
    assert template["jobExecutionsRetryConfig"] == RETRY and template["abortConfig"] == ABORT, template
    iot.create_job_template(jobTemplateId="other", document="{}", description="other")
    pages = list(iot.get_paginator("list_job_templates").paginate(maxResults=1))
    assert [page["jobTemplates"][0]["jobTemplateId"] for page in pages] == ["of-job", "other"], pages
    iot.create_job(
        jobId="of-template",
        targets=[thing_arn("lamp")],
        jobTemplateArn=arn,
        description="own",
        timeoutConfig={"inProgressTimeoutInMinutes": 7},
    )
    job = iot.describe_job(jobId="of-template")["job"]
    assert job["description"] == "own" and job["jobTemplateArn"] == arn, job
    assert job["abortConfig"] == ABORT and job["timeoutConfig"]["inProgressTimeoutInMinutes"] == 7, job
    assert iot.get_job_document(jobId="of-template")["document"] == '{"a":1}'
    iot.delete_job_template(jobTemplateId="of-job")
    with refused("ResourceNotFoundException", 404):
        iot.describe_job_template(jobTemplateId="of-job")
    with refused("ResourceNotFoundException", 404):
        iot.create_job(jobId="late", targets=[thing_arn("lamp")], jobTemplateArn=arn)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
