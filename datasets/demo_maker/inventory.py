"""What the fake AWS says is there now, spelt as AWS Config spells it.

One reader per resource type turns describe, get and list replies into `Resource`s. Left out are
values that no one declares and that would make an object that was put right look different for
ever: modification stamps, revision ids, message and address counters.
"""

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from .fakeaws import FakeAws, Place
from .estate import ACCOUNTS, REGIONS
from .fixed import Births, digest, iam_id, stamp

Key = tuple[str, str, str, str, str]
Wanted = set[str] | None


@dataclass
class Resource:
    """One object as it is now, without the envelope that says when it was seen."""

    account: str
    region: str
    type: str
    id: str
    name: str | None
    arn: str
    zone: str
    birth: str
    tags: dict[str, str] = field(default_factory=dict)
    relationships: list[dict[str, Any]] = field(default_factory=list)
    configuration: dict[str, Any] = field(default_factory=dict)
    supplementary: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What identifies the resource everywhere."""
        return ("aws", self.account, self.region, self.type, self.id)


# AWS Config lowers the first letter of the API's names, with these exceptions.
_SPELLINGS = {
    "OKActions": "okactions", "KMSKeyArn": "kmskeyArn", "SSEDescription": "ssedescription", "SSEType": "ssetype",
    "KMSMasterKeyArn": "kmsmasterKeyArn", "AWSAccountId": "awsaccountId",
}
# Volatile or meaningless here, see the module's description.
_LEFT_OUT = {
    "ResponseMetadata", "RoleLastUsed", "StateUpdatedTimestamp", "StateReasonData", "StateTransitionReason", "RevisionId",
    "LatestRestorableTime", "AvailableIpAddressCount", "PasswordLastUsed", "ClientToken", "StateReason", "StateTransitionedTimestamp",
    "WarmThroughput", "LastUpdateToPayPerRequestDateTime", "LastDecreaseDateTime", "LastIncreaseDateTime",
}
_FREE_MAPS = {"Variables"}  # the keys below are the user's own, not the API's


def _relation(kind: str, id: str, name: str | None, label: str) -> dict[str, Any]:
    return {"resourceType": kind, "resourceId": id, "resourceName": name, "name": label}


def _pairs(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {t.get("Key", t.get("TagKey", "")): t.get("Value", t.get("TagValue", "")) for t in tags or []}


def _listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": k, "value": v} for k, v in tags.items()]


class Reader:
    """Reads the fake AWS into resources."""

    def __init__(self, aws: FakeAws, births: Births) -> None:
        self._aws, self._births = aws, births

    def everything(self) -> list[Resource]:
        """The whole estate, in a stable order."""
        found = [r for account in ACCOUNTS.values() for r in self.account(account)]
        return found

    def account(self, account: str) -> list[Resource]:
        """One account in all its regions."""
        return [r for region in ("global", *REGIONS) for r in self.region(account, region)]

    def region(self, account: str, region: str) -> list[Resource]:
        """One account and region; IAM lives in the region called global."""
        types = GLOBAL_READERS if region == "global" else READERS
        return [r for kind in types for r in self.type(account, region, kind)]

    def type(self, account: str, region: str, kind: str, only: Wanted = None) -> list[Resource]:
        """All resources of a type, or those of them whose name or id is wanted."""
        place = Place(self._aws, account, "us-east-1" if region == "global" else region)
        read = (GLOBAL_READERS if region == "global" else READERS)[kind]
        return sorted(read(self, place, only), key=lambda r: r.id)

    def one(self, key: Key) -> Resource | None:
        """One resource, or nothing if it is gone."""
        _, account, region, kind, id = key
        name = _name_of(kind, id)
        found = [r for r in self.type(account, region, kind, {id, name}) if r.id == id]
        return found[0] if found else None

    def make(self, place: Place, kind: str, id: str, arn: str, raw: dict[str, Any], *, name: str | None = None,
             zone: str = "Regional", tags: dict[str, str] | None = None, region: str | None = None,
             relations: list[dict[str, Any]] | None = None, supplementary: dict[str, Any] | None = None,
             pascal: bool = False) -> Resource:
        """A resource from a reply, with its time stamps made stable."""
        region = region or place.region
        birth = self._births.of(place.account, region, kind, id)
        return Resource(place.account, region, kind, id, name, arn, zone, stamp(birth), dict(sorted((tags or {}).items())),
                        relations or [], _spell(raw, birth, pascal), supplementary or {})

    def birth(self, place: Place, kind: str, id: str) -> datetime:
        """When the resource was created."""
        return self._births.of(place.account, place.region, kind, id)


def _name_of(kind: str, id: str) -> str:
    """The name by which a type's list calls know the resource, from its id."""
    if kind in ("AWS::SQS::Queue",):
        return id.rsplit("/", 1)[1]
    if kind in ("AWS::SNS::Topic", "AWS::CloudWatch::Alarm"):
        return id.rsplit(":", 1)[1]
    return id


def _spell(value: Any, birth: datetime, pascal: bool) -> Any:
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            if key in _LEFT_OUT:
                continue
            spelt = key if pascal else _SPELLINGS.get(key, key[:1].lower() + key[1:])
            out[spelt] = item if key in _FREE_MAPS else _spell(item, birth, pascal)
        return out
    if isinstance(value, list):
        return [_spell(item, birth, pascal) for item in value]
    if isinstance(value, datetime):
        return stamp(birth)
    return value


def _wants(only: Wanted, *names: str) -> bool:
    return only is None or any(name in only for name in names)


def _try(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """A get call for something that may not be configured: no answer is an empty answer."""
    try:
        return call(**arguments)
    except ClientError:
        return {}


# EC2 ---------------------------------------------------------------------------------------------

def _own_vpcs(place: Place) -> set[str]:
    """The VPCs that the estate made; the default VPC of the fake account is nobody's."""
    return {v["VpcId"] for v in place.ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]}


def _ec2_arn(place: Place, kind: str, id: str) -> str:
    return f"arn:aws:ec2:{place.region}:{place.account}:{kind}/{id}"


def _vpcs(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for raw in place.ec2.describe_vpcs()["Vpcs"]:
        if not raw["IsDefault"] and _wants(only, raw["VpcId"]):
            yield reader.make(place, "AWS::EC2::VPC", raw["VpcId"], _ec2_arn(place, "vpc", raw["VpcId"]), raw,
                              zone="Multiple Availability Zones", tags=_pairs(raw.get("Tags")))


def _subnets(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    own = _own_vpcs(place)
    for raw in place.ec2.describe_subnets()["Subnets"]:
        if raw["VpcId"] in own and _wants(only, raw["SubnetId"]):
            yield reader.make(place, "AWS::EC2::Subnet", raw["SubnetId"], raw["SubnetArn"], raw,
                              zone=raw["AvailabilityZone"], tags=_pairs(raw.get("Tags")),
                              relations=[_relation("AWS::EC2::VPC", raw["VpcId"], None, "Is contained in Vpc")])


def _route_tables(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    own = _own_vpcs(place)
    for raw in place.ec2.describe_route_tables()["RouteTables"]:
        if raw["VpcId"] in own and _wants(only, raw["RouteTableId"]):
            relations = [_relation("AWS::EC2::VPC", raw["VpcId"], None, "Is contained in Vpc")]
            relations += [_relation("AWS::EC2::Subnet", a["SubnetId"], None, "Contains Subnet")
                          for a in raw["Associations"] if a.get("SubnetId")]
            raw = {**raw, "PropagatingVgws": raw.get("PropagatingVgws", [])}
            yield reader.make(place, "AWS::EC2::RouteTable", raw["RouteTableId"],
                              _ec2_arn(place, "route-table", raw["RouteTableId"]), raw, zone="Not Applicable",
                              tags=_pairs(raw.get("Tags")), relations=relations)


def _gateways(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for raw in place.ec2.describe_internet_gateways()["InternetGateways"]:
        if raw.get("Tags") and _wants(only, raw["InternetGatewayId"]):
            relations = [_relation("AWS::EC2::VPC", a["VpcId"], None, "Is attached to Vpc") for a in raw["Attachments"]]
            yield reader.make(place, "AWS::EC2::InternetGateway", raw["InternetGatewayId"],
                              _ec2_arn(place, "internet-gateway", raw["InternetGatewayId"]), raw,
                              zone="Multiple Availability Zones", tags=_pairs(raw.get("Tags")), relations=relations)


def _permission(raw: dict[str, Any]) -> dict[str, Any]:
    """A rule as Config shows it: the ranges once as objects and once as bare strings."""
    return {
        "fromPort": raw.get("FromPort"), "ipProtocol": raw["IpProtocol"],
        "ipv6Ranges": [{"cidrIpv6": r["CidrIpv6"]} for r in raw["Ipv6Ranges"]], "prefixListIds": [],
        "toPort": raw.get("ToPort"),
        "userIdGroupPairs": [{"description": p.get("Description"), "groupId": p["GroupId"], "userId": p["UserId"]}
                             for p in raw["UserIdGroupPairs"]],
        "ipv4Ranges": [{"cidrIp": r["CidrIp"], "description": r.get("Description")} for r in raw["IpRanges"]],
        "ipRanges": [r["CidrIp"] for r in raw["IpRanges"]],
    }


def _security_groups(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    own = _own_vpcs(place)
    for raw in place.ec2.describe_security_groups()["SecurityGroups"]:
        if raw["VpcId"] not in own or not _wants(only, raw["GroupId"]):
            continue
        shaped = {
            "description": raw["Description"], "groupName": raw["GroupName"],
            "ipPermissions": [_permission(p) for p in raw["IpPermissions"]], "ownerId": raw["OwnerId"],
            "groupId": raw["GroupId"], "ipPermissionsEgress": [_permission(p) for p in raw["IpPermissionsEgress"]],
            "tags": raw.get("Tags", []), "vpcId": raw["VpcId"],
        }
        yield reader.make(place, "AWS::EC2::SecurityGroup", raw["GroupId"], raw["SecurityGroupArn"], shaped,
                          name=raw["GroupName"], zone="Not Applicable", tags=_pairs(raw.get("Tags")),
                          relations=[_relation("AWS::EC2::VPC", raw["VpcId"], None, "Is contained in Vpc")])


def _instances(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.ec2.get_paginator("describe_instances").paginate():
        for raw in (i for r in page["Reservations"] for i in r["Instances"]):
            if raw["State"]["Name"] == "terminated" or not _wants(only, raw["InstanceId"]):
                continue
            relations = [_relation("AWS::EC2::Subnet", raw["SubnetId"], None, "Is contained in Subnet"),
                         _relation("AWS::EC2::VPC", raw["VpcId"], None, "Is contained in Vpc")]
            relations += [_relation("AWS::EC2::SecurityGroup", g["GroupId"], None, "Is associated with SecurityGroup")
                          for g in raw["SecurityGroups"]]
            relations += [_relation("AWS::EC2::Volume", b["Ebs"]["VolumeId"], None, "Is attached to Volume")
                          for b in raw["BlockDeviceMappings"]]
            shaped = {**raw, "KernelId": None, "RamdiskId": None, "InstanceLifecycle": None}
            yield reader.make(place, "AWS::EC2::Instance", raw["InstanceId"], _ec2_arn(place, "instance", raw["InstanceId"]),
                              shaped, zone=raw["Placement"]["AvailabilityZone"], tags=_pairs(raw.get("Tags")), relations=relations)


def _volumes(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.ec2.get_paginator("describe_volumes").paginate():
        for raw in page["Volumes"]:
            if _wants(only, raw["VolumeId"]):
                relations = [_relation("AWS::EC2::Instance", a["InstanceId"], None, "Is attached to Instance")
                             for a in raw["Attachments"]]
                if raw["VolumeType"] == "gp3":
                    # The fake AWS leaves out what every such volume has.
                    raw.setdefault("Throughput", 125)
                yield reader.make(place, "AWS::EC2::Volume", raw["VolumeId"], _ec2_arn(place, "volume", raw["VolumeId"]),
                                  raw, zone=raw["AvailabilityZone"], tags=_pairs(raw.get("Tags")), relations=relations)


# storage -----------------------------------------------------------------------------------------

def _buckets(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    s3, owner = place.s3, digest("canonical user", place.account)
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if not _wants(only, name):
            continue
        if (s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1") != place.region:
            continue
        tags = _pairs(_try(s3.get_bucket_tagging, Bucket=name).get("TagSet"))
        grants = {"grantSet": None, "grantList": [{"grantee": {"id": owner, "displayName": None}, "permission": "FullControl"}],
                  "owner": {"displayName": None, "id": owner}, "isRequesterCharged": False}
        more: dict[str, Any] = {
            "AccessControlList": json.dumps(grants, separators=(",", ":")),
            "BucketAccelerateConfiguration": {"status": None},
            "BucketLoggingConfiguration": {"destinationBucketName": None, "logFilePrefix": None},
            "BucketNotificationConfiguration": {"configurations": {}},
            "BucketPolicy": {"policyText": _try(s3.get_bucket_policy, Bucket=name).get("Policy")},
            "BucketVersioningConfiguration": {
                "status": _try(s3.get_bucket_versioning, Bucket=name).get("Status", "Off"), "isMfaDeleteEnabled": None},
            "IsRequesterPaysEnabled": False,
        }
        if tags:
            more["BucketTaggingConfiguration"] = {"tagSets": [{"tags": dict(sorted(tags.items()))}]}
        block = _try(s3.get_public_access_block, Bucket=name).get("PublicAccessBlockConfiguration")
        if block:
            more["PublicAccessBlockConfiguration"] = _spell(block, datetime.min, False)
        rules = _try(s3.get_bucket_encryption, Bucket=name).get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
        if rules:
            more["ServerSideEncryptionConfiguration"] = {"rules": [{
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": r["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
                    "kmsMasterKeyID": r["ApplyServerSideEncryptionByDefault"].get("KMSMasterKeyID")},
                "bucketKeyEnabled": r.get("BucketKeyEnabled", False)} for r in rules]}
        rules = _try(s3.get_bucket_lifecycle_configuration, Bucket=name).get("Rules", [])
        if rules:
            more["BucketLifecycleConfiguration"] = {"rules": [{
                "id": r["ID"], "status": r["Status"], "expirationInDays": r.get("Expiration", {}).get("Days", -1),
                "filter": {"predicate": {"type": "LifecyclePrefixPredicate", "prefix": r["Filter"].get("Prefix", "")}},
                "noncurrentVersionExpirationInDays": -1, "expiredObjectDeleteMarker": False} for r in rules]}
        yield reader.make(place, "AWS::S3::Bucket", name, f"arn:aws:s3:::{name}",
                          {"name": name, "owner": {"displayName": None, "id": owner}, "creationDate": bucket["CreationDate"]},
                          name=name, tags=tags, supplementary=more)


def _tables(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    dynamodb = place.dynamodb
    for name in dynamodb.list_tables()["TableNames"]:
        if not _wants(only, name):
            continue
        raw = dynamodb.describe_table(TableName=name)["Table"]
        # The real service always shows these numbers, and zero when billing is on demand.
        throughput = {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        if raw.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
            throughput |= raw["ProvisionedThroughput"]
        raw["ProvisionedThroughput"] = throughput
        tags = _pairs(dynamodb.list_tags_of_resource(ResourceArn=raw["TableArn"])["Tags"])
        recovery = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        status = recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        yield reader.make(place, "AWS::DynamoDB::Table", name, raw["TableArn"], raw, name=name, tags=tags, supplementary={
            "ContinuousBackupsDescription": {"continuousBackupsStatus": "ENABLED",
                                             "pointInTimeRecoveryDescription": {"pointInTimeRecoveryStatus": status}},
            "Tags": _listed(tags)})


def _base32(text: str) -> str:
    return base64.b32encode(bytes.fromhex(digest("rds", text)[:34])).decode()[:26]


def _databases(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.rds.get_paginator("describe_db_instances").paginate():
        for raw in page["DBInstances"]:
            # The fake AWS gives every database the same resource id and an endpoint without a cluster part.
            raw["DbiResourceId"] = "db-" + _base32(raw["DBInstanceArn"])
            if not _wants(only, raw["DbiResourceId"]):
                continue
            raw["Endpoint"]["Address"] = raw["Endpoint"]["Address"].replace("aaaaaaaaaa", digest("rds", place.account)[:12])
            tags = _pairs(raw.get("TagList"))
            raw["KmsKeyId"] = f"arn:aws:kms:{place.region}:{place.account}:alias/aws/rds"
            raw["MultiAZ"], raw["DbInstancePort"] = bool(raw["MultiAZ"]), 0
            # Databases that name no group of subnets are in the default one, and the real service says so.
            raw.setdefault("DBSubnetGroup", {"DBSubnetGroupName": "default", "DBSubnetGroupDescription": "default",
                                             "SubnetGroupStatus": "Complete"})
            relations = [_relation("AWS::EC2::SecurityGroup", g["VpcSecurityGroupId"], None, "Is associated with SecurityGroup")
                         for g in raw["VpcSecurityGroups"]]
            yield reader.make(place, "AWS::RDS::DBInstance", raw["DbiResourceId"], raw["DBInstanceArn"], raw,
                              name=raw["DBInstanceIdentifier"], zone=raw["AvailabilityZone"], tags=tags, relations=relations,
                              supplementary={"Tags": _listed(tags)})


def _repositories(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for raw in place.ecr.describe_repositories()["repositories"]:
        name = raw["repositoryName"]
        if _wants(only, name):
            tags = _pairs(place.ecr.list_tags_for_resource(resourceArn=raw["repositoryArn"])["tags"])
            encryption = raw["encryptionConfiguration"]
            yield reader.make(place, "AWS::ECR::Repository", name, raw["repositoryArn"], {
                "RepositoryName": name, "Arn": raw["repositoryArn"], "RepositoryUri": raw["repositoryUri"],
                "ImageTagMutability": raw["imageTagMutability"],
                "ImageScanningConfiguration": {"ScanOnPush": raw["imageScanningConfiguration"]["scanOnPush"]},
                "EncryptionConfiguration": {"EncryptionType": encryption["encryptionType"], "KmsKey": encryption.get("kmsKey")},
                "RepositoryPolicyText": "", "LifecyclePolicy": {}, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()],
            }, name=name, tags=tags, pascal=True)


# messaging, functions, watching ------------------------------------------------------------------

_QUEUE_NUMBERS = ("DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds",
                  "VisibilityTimeout", "KmsDataKeyReusePeriodSeconds")


def _queues(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for url in place.sqs.list_queues().get("QueueUrls", []):
        name = url.rsplit("/", 1)[1]
        if not _wants(only, name):
            continue
        raw = place.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        tags = place.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
        # The fake AWS names its own loopback address; the address of the real service goes into the file.
        public = f"https://sqs.{place.region}.amazonaws.com/{place.account}/{name}"
        shaped: dict[str, Any] = {"QueueName": name, "QueueUrl": public, "QueueArn": raw["QueueArn"]}
        shaped |= {k: int(raw[k]) for k in _QUEUE_NUMBERS if k in raw}
        # A queue has a customer's key or SQS's own; the fake AWS shows both.
        shaped["SqsManagedSseEnabled"] = "false" if raw.get("KmsMasterKeyId") else raw.get("SqsManagedSseEnabled", "false")
        for field_ in ("KmsMasterKeyId", "RedrivePolicy", "Policy"):
            if raw.get(field_):
                shaped[field_] = raw[field_]
        yield reader.make(place, "AWS::SQS::Queue", public, raw["QueueArn"], shaped, name=name, zone="Not Applicable",
                          tags=tags, pascal=True)


def _topics(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.sns.get_paginator("list_topics").paginate():
        for arn in (t["TopicArn"] for t in page["Topics"]):
            name = arn.rsplit(":", 1)[1]
            if not _wants(only, name):
                continue
            raw = place.sns.get_topic_attributes(TopicArn=arn)["Attributes"]
            tags = _pairs(place.sns.list_tags_for_resource(ResourceArn=arn)["Tags"])
            kept = ("TopicArn", "DisplayName", "Owner", "Policy", "KmsMasterKeyId")
            yield reader.make(place, "AWS::SNS::Topic", arn, arn, {k: raw[k] for k in kept if raw.get(k)}, name=name,
                              tags=tags, pascal=True, supplementary={})


def _keys(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.kms.get_paginator("list_keys").paginate():
        for id in (k["KeyId"] for k in page["Keys"]):
            if not _wants(only, id):
                continue
            raw = place.kms.describe_key(KeyId=id)["KeyMetadata"]
            if raw["KeyManager"] != "CUSTOMER" or not raw["Description"].startswith("Data key"):
                continue
            # The fake AWS does not say what a key is for unless it was told.
            raw["KeyUsage"] = raw.get("KeyUsage") or "ENCRYPT_DECRYPT"
            tags = _pairs(place.kms.list_resource_tags(KeyId=id)["Tags"])
            rotation = place.kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]
            yield reader.make(place, "AWS::KMS::Key", id, raw["Arn"], raw, name=id, tags=tags, supplementary={
                "KeyRotationStatus": rotation, "Policy": place.kms.get_key_policy(KeyId=id, PolicyName="default")["Policy"],
                "Tags": [{"tagKey": k, "tagValue": v} for k, v in tags.items()]})


def _functions(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    subnets = {s["SubnetId"]: s["VpcId"] for s in place.ec2.describe_subnets()["Subnets"]}
    for page in place.lambda_.get_paginator("list_functions").paginate():
        for raw in page["Functions"]:
            name = raw["FunctionName"]
            if not _wants(only, name):
                continue
            tags = place.lambda_.list_tags(Resource=raw["FunctionArn"]).get("Tags", {})
            birth = reader.birth(place, "AWS::Lambda::Function", name)
            raw = {**raw, "LastModified": birth.strftime("%Y-%m-%dT%H:%M:%S.000+0000"), "KMSKeyArn": None, "DeadLetterConfig": None}
            vpc = raw.get("VpcConfig") or {}
            if vpc.get("SubnetIds"):
                vpc["VpcId"] = subnets[vpc["SubnetIds"][0]]  # the fake AWS says vpc-123abc
            relations = [_relation("AWS::IAM::Role", iam_id("AROA", raw["Role"]), raw["Role"].rsplit("/", 1)[1], "Is associated with Role")]
            relations += [_relation("AWS::EC2::SecurityGroup", g, None, "Is associated with SecurityGroup")
                          for g in vpc.get("SecurityGroupIds", [])]
            relations += [_relation("AWS::EC2::Subnet", s, None, "Is contained in Subnet") for s in vpc.get("SubnetIds", [])]
            yield reader.make(place, "AWS::Lambda::Function", name, raw["FunctionArn"], raw, name=name, zone="Not Applicable",
                              tags=tags, relations=relations, supplementary={"Tags": tags} if tags else {})


def _log_groups(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.logs.get_paginator("describe_log_groups").paginate():
        for raw in page["logGroups"]:
            name, arn = raw["logGroupName"], raw["arn"]
            if not _wants(only, name):
                continue
            tags = place.logs.list_tags_for_resource(resourceArn=raw["logGroupArn"])["tags"]
            shaped: dict[str, Any] = {"LogGroupName": name, "Arn": arn, "LogGroupClass": "STANDARD"}
            if raw.get("retentionInDays"):
                shaped["RetentionInDays"] = raw["retentionInDays"]
            shaped["Tags"] = [{"Key": k, "Value": v} for k, v in tags.items()]
            yield reader.make(place, "AWS::Logs::LogGroup", name, arn, shaped, name=name, tags=tags, pascal=True)


def _alarms(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.cloudwatch.get_paginator("describe_alarms").paginate():
        for raw in page["MetricAlarms"]:
            if _wants(only, raw["AlarmName"]):
                tags = _pairs(place.cloudwatch.list_tags_for_resource(ResourceARN=raw["AlarmArn"])["Tags"])
                yield reader.make(place, "AWS::CloudWatch::Alarm", raw["AlarmArn"], raw["AlarmArn"], raw,
                                  name=raw["AlarmName"], zone="Not Applicable", tags=tags)


def _balancers(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.elbv2.get_paginator("describe_load_balancers").paginate():
        for raw in page["LoadBalancers"]:
            arn = raw["LoadBalancerArn"]
            if not _wants(only, arn):
                continue
            tags = _pairs(place.elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"])
            attributes = place.elbv2.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            # The fake AWS moves a load balancer from provisioning to active by the number of calls.
            raw["State"] = {"Code": "active", "Reason": None}
            relations = [_relation("AWS::EC2::VPC", raw["VpcId"], None, "Is contained in Vpc")]
            relations += [_relation("AWS::EC2::Subnet", z["SubnetId"], None, "Is attached to Subnet") for z in raw["AvailabilityZones"]]
            relations += [_relation("AWS::EC2::SecurityGroup", g, None, "Is associated with SecurityGroup") for g in raw["SecurityGroups"]]
            yield reader.make(place, "AWS::ElasticLoadBalancingV2::LoadBalancer", arn, arn, raw, name=raw["LoadBalancerName"],
                              zone="Multiple Availability Zones", tags=tags, relations=relations, supplementary={
                                  "LoadBalancerAttributes": [{"key": a["Key"], "value": a["Value"]} for a in attributes],
                                  "Tags": _listed(tags)})


# IAM ---------------------------------------------------------------------------------------------

def _document(text: Any) -> str:
    """A policy document as Config shows it: URL-encoded JSON."""
    return urllib.parse.quote(json.dumps(text, separators=(",", ":")) if isinstance(text, dict) else text, safe="*")


def _attached(policies: list[dict[str, str]]) -> list[dict[str, str]]:
    """The company's own policies first, so that one of AWS's that comes or goes does not move them."""
    own_first = sorted(policies, key=lambda p: (":aws:policy/" in p["PolicyArn"], p["PolicyName"]))
    return [{"policyName": p["PolicyName"], "policyArn": p["PolicyArn"]} for p in own_first]


def _policy_relations(policies: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [_relation("AWS::IAM::Policy", iam_id("ANPA", p["PolicyArn"]), p["PolicyName"], "Is attached to CustomerManagedPolicy")
            for p in policies if ":aws:policy/" not in p["PolicyArn"]]


def _roles(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.iam.get_paginator("list_roles").paginate():
        for listed in page["Roles"]:
            id = iam_id("AROA", listed["Arn"])
            if not _wants(only, id):
                continue
            raw = place.iam.get_role(RoleName=listed["RoleName"])["Role"]
            policies = place.iam.list_attached_role_policies(RoleName=listed["RoleName"])["AttachedPolicies"]
            tags = _pairs(raw.get("Tags"))
            shaped = {
                "path": raw["Path"], "roleName": raw["RoleName"], "roleId": id, "arn": raw["Arn"], "createDate": raw["CreateDate"],
                "assumeRolePolicyDocument": _document(raw["AssumeRolePolicyDocument"]), "instanceProfileList": [],
                "rolePolicyList": [], "attachedManagedPolicies": _attached(policies), "permissionsBoundary": None,
                "tags": _listed(tags), "roleLastUsed": None,
            }
            yield reader.make(place, "AWS::IAM::Role", id, raw["Arn"], shaped, name=raw["RoleName"], zone="Not Applicable",
                              region="global", tags=tags, relations=_policy_relations(policies))


def _policies(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.iam.get_paginator("list_policies").paginate(Scope="Local"):
        for listed in page["Policies"]:
            arn, id = listed["Arn"], iam_id("ANPA", listed["Arn"])
            if not _wants(only, id):
                continue
            raw = place.iam.get_policy(PolicyArn=arn)["Policy"]
            version = place.iam.get_policy_version(PolicyArn=arn, VersionId=raw["DefaultVersionId"])["PolicyVersion"]
            shaped = {
                "policyName": raw["PolicyName"], "policyId": id, "arn": arn, "path": raw["Path"],
                "defaultVersionId": raw["DefaultVersionId"], "attachmentCount": raw["AttachmentCount"],
                "permissionsBoundaryUsageCount": 0, "isAttachable": True, "description": raw.get("Description"),
                "createDate": raw["CreateDate"], "updateDate": raw["CreateDate"],
                "policyVersionList": [{"document": _document(version["Document"]), "versionId": version["VersionId"],
                                       "isDefaultVersion": True, "createDate": raw["CreateDate"]}],
            }
            yield reader.make(place, "AWS::IAM::Policy", id, arn, shaped, name=raw["PolicyName"], zone="Not Applicable",
                              region="global", tags=_pairs(raw.get("Tags")))


def _users(reader: Reader, place: Place, only: Wanted) -> Iterator[Resource]:
    for page in place.iam.get_paginator("list_users").paginate():
        for raw in page["Users"]:
            id = iam_id("AIDA", raw["Arn"])
            if not _wants(only, id):
                continue
            policies = place.iam.list_attached_user_policies(UserName=raw["UserName"])["AttachedPolicies"]
            tags = _pairs(place.iam.list_user_tags(UserName=raw["UserName"])["Tags"])
            shaped = {
                "path": raw["Path"], "userName": raw["UserName"], "userId": id, "arn": raw["Arn"], "createDate": raw["CreateDate"],
                "userPolicyList": [], "groupList": [], "attachedManagedPolicies": _attached(policies),
                "permissionsBoundary": None, "tags": _listed(tags),
            }
            yield reader.make(place, "AWS::IAM::User", id, raw["Arn"], shaped, name=raw["UserName"], zone="Not Applicable",
                              region="global", tags=tags, relations=_policy_relations(policies))


ReadType = Callable[[Reader, Place, Wanted], Iterator[Resource]]
READERS: dict[str, ReadType] = {
    "AWS::EC2::VPC": _vpcs, "AWS::EC2::Subnet": _subnets, "AWS::EC2::RouteTable": _route_tables,
    "AWS::EC2::InternetGateway": _gateways, "AWS::EC2::SecurityGroup": _security_groups, "AWS::EC2::Instance": _instances,
    "AWS::EC2::Volume": _volumes, "AWS::S3::Bucket": _buckets, "AWS::DynamoDB::Table": _tables,
    "AWS::RDS::DBInstance": _databases, "AWS::ECR::Repository": _repositories, "AWS::SQS::Queue": _queues,
    "AWS::SNS::Topic": _topics, "AWS::KMS::Key": _keys, "AWS::Lambda::Function": _functions,
    "AWS::Logs::LogGroup": _log_groups, "AWS::CloudWatch::Alarm": _alarms,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancers,
}
GLOBAL_READERS: dict[str, ReadType] = {
    "AWS::IAM::Role": _roles, "AWS::IAM::Policy": _policies, "AWS::IAM::User": _users,
}
