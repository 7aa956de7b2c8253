"""What people do to resources behind the back of their declarations, and how it is put right.

Every change is a pair of functions over one resource as the baseline has it. They make real API
calls; what becomes visible is read back afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .estate import ACCOUNTS, bucket_policy, document
from .fakeaws import Place
from .fixed import iam_id
from .inventory import Resource

Act = Callable[[Place, Resource], None]


@dataclass(frozen=True)
class Change:
    """A kind of change: what it is done to, how, and how it is undone."""

    type: str
    apply: Act
    revert: Act


def _ssh(place: Place, r: Resource, old: str, new: str) -> None:
    def rule(cidr: str) -> list[dict[str, Any]]:
        return [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
                 "IpRanges": [{"CidrIp": cidr, "Description": "SSH from the bastion"}]}]
    place.ec2.revoke_security_group_ingress(GroupId=r.id, IpPermissions=rule(old))
    place.ec2.authorize_security_group_ingress(GroupId=r.id, IpPermissions=rule(new))


_RDP = [{"IpProtocol": "tcp", "FromPort": 3389, "ToPort": 3389,
         "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "temporary, remove on Friday"}]}]
_BLOCK = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}


def _versioning(status: str) -> Act:
    return lambda place, r: place.s3.put_bucket_versioning(Bucket=r.id, VersioningConfiguration={"Status": status})


def _reader(who: str | None) -> Act:
    def act(place: Place, r: Resource) -> None:
        declared = f"arn:aws:iam::{r.account}:role/{r.tags['Project']}-{r.tags['Environment']}-app"
        place.s3.put_bucket_policy(Bucket=r.id, Policy=bucket_policy(r.id, who or declared))
    return act


def _instance_type(kind: str | None) -> Act:
    def act(place: Place, r: Resource) -> None:
        place.ec2.stop_instances(InstanceIds=[r.id])
        place.ec2.modify_instance_attribute(InstanceId=r.id, InstanceType={"Value": kind or r.configuration["instanceType"]})
        place.ec2.start_instances(InstanceIds=[r.id])
    return act


def _set_tags(place: Place, r: Resource, tags: dict[str, str]) -> None:
    pairs = [{"Key": k, "Value": v} for k, v in tags.items()]
    match r.type.split("::")[1]:
        case "EC2":
            place.ec2.create_tags(Resources=[r.id], Tags=pairs)
        case "S3":
            place.s3.put_bucket_tagging(Bucket=r.id, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in {**r.tags, **tags}.items()]})
        case "Lambda":
            place.lambda_.tag_resource(Resource=r.arn, Tags=tags)
        case "SQS":
            place.sqs.tag_queue(QueueUrl=_queue_url(place, r), Tags=tags)
        case "DynamoDB":
            place.dynamodb.tag_resource(ResourceArn=r.arn, Tags=pairs)
        case "ElasticLoadBalancingV2":
            place.elbv2.add_tags(ResourceArns=[r.arn], Tags=pairs)


def _drop_tag(place: Place, r: Resource, name: str) -> None:
    match r.type.split("::")[1]:
        case "EC2":
            place.ec2.delete_tags(Resources=[r.id], Tags=[{"Key": name}])
        case "S3":
            kept = [{"Key": k, "Value": v} for k, v in r.tags.items() if k != name]
            place.s3.put_bucket_tagging(Bucket=r.id, Tagging={"TagSet": kept})
        case "Lambda":
            place.lambda_.untag_resource(Resource=r.arn, TagKeys=[name])
        case "SQS":
            place.sqs.untag_queue(QueueUrl=_queue_url(place, r), TagKeys=[name])
        case "DynamoDB":
            place.dynamodb.untag_resource(ResourceArn=r.arn, TagKeys=[name])
        case "ElasticLoadBalancingV2":
            place.elbv2.remove_tags(ResourceArns=[r.arn], TagKeys=[name])


def owner(kind: str) -> Change:
    """Someone writes his own name into the Owner tag."""
    return Change(kind, lambda p, r: _set_tags(p, r, {"Owner": "j.doe"}), lambda p, r: _set_tags(p, r, {"Owner": r.tags["Owner"]}))


def no_cost_center(kind: str) -> Change:
    """The CostCenter tag is lost."""
    return Change(kind, lambda p, r: _drop_tag(p, r, "CostCenter"), lambda p, r: _set_tags(p, r, {"CostCenter": r.tags["CostCenter"]}))


def _queue_url(place: Place, r: Resource) -> str:
    return place.sqs.get_queue_url(QueueName=r.name)["QueueUrl"]


def _queue(**values: str) -> Act:
    return lambda place, r: place.sqs.set_queue_attributes(QueueUrl=_queue_url(place, r), Attributes=values)


def _queue_back(*names: str) -> Act:
    return lambda place, r: place.sqs.set_queue_attributes(
        QueueUrl=_queue_url(place, r), Attributes={n: str(r.configuration[n]) for n in names})


def _function(**values: Any) -> Act:
    def act(place: Place, r: Resource) -> None:
        declared = {"MemorySize": r.configuration["memorySize"], "Timeout": r.configuration["timeout"], "Runtime": r.configuration["runtime"]}
        place.lambda_.update_function_configuration(FunctionName=r.id, **{k: v if v is not None else declared[k] for k, v in values.items()})
    return act


def _admin(place: Place, r: Resource, verb: str) -> None:
    noun = "role" if r.type.endswith("Role") else "user"
    call = getattr(place.iam, f"{verb}_{noun}_policy")
    call(PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess", **{f"{noun.title()}Name": r.name})


def _wildcard(place: Place, r: Resource) -> None:
    place.iam.create_policy_version(PolicyArn=r.arn, SetAsDefault=True, PolicyDocument=document(
        {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}))


def _first_version(place: Place, r: Resource) -> None:
    place.iam.set_default_policy_version(PolicyArn=r.arn, VersionId="v1")


def _table(billing: str) -> Act:
    more: dict[str, Any] = {} if billing == "PAY_PER_REQUEST" else {"ProvisionedThroughput": {"ReadCapacityUnits": 25, "WriteCapacityUnits": 10}}
    return lambda place, r: place.dynamodb.update_table(TableName=r.id, BillingMode=billing, **more)


def _recovery(enabled: bool) -> Act:
    return lambda place, r: place.dynamodb.update_continuous_backups(
        TableName=r.id, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": enabled})


def _threshold(value: float | None) -> Act:
    def act(place: Place, r: Resource) -> None:
        c = r.configuration
        place.cloudwatch.put_metric_alarm(
            AlarmName=r.name, AlarmDescription=c["alarmDescription"], ActionsEnabled=True, AlarmActions=c["alarmActions"],
            OKActions=c["okactions"], MetricName=c["metricName"], Namespace=c["namespace"], Statistic=c["statistic"],
            Dimensions=[{"Name": d["name"], "Value": d["value"]} for d in c["dimensions"]], Period=c["period"],
            EvaluationPeriods=c["evaluationPeriods"], DatapointsToAlarm=c["datapointsToAlarm"], TreatMissingData=c["treatMissingData"],
            Threshold=c["threshold"] if value is None else value, ComparisonOperator=c["comparisonOperator"])
    return act


def _database(**values: Any) -> Act:
    return lambda place, r: place.rds.modify_db_instance(DBInstanceIdentifier=r.name, ApplyImmediately=True, **values)


def _retention(days: int | None) -> Act:
    return lambda place, r: place.logs.put_retention_policy(
        logGroupName=r.id, retentionInDays=days or r.configuration["RetentionInDays"])


CHANGES: dict[str, Change] = {
    "ssh open to the world": Change("AWS::EC2::SecurityGroup", lambda p, r: _ssh(p, r, "10.250.0.0/16", "0.0.0.0/0"),
                                    lambda p, r: _ssh(p, r, "0.0.0.0/0", "10.250.0.0/16")),
    "rdp rule added": Change("AWS::EC2::SecurityGroup", lambda p, r: p.ec2.authorize_security_group_ingress(GroupId=r.id, IpPermissions=_RDP),
                             lambda p, r: p.ec2.revoke_security_group_ingress(GroupId=r.id, IpPermissions=_RDP)),
    "instance resized": Change("AWS::EC2::Instance", _instance_type("m5.2xlarge"), _instance_type(None)),
    "subnet hands out public addresses": Change(
        "AWS::EC2::Subnet", lambda p, r: p.ec2.modify_subnet_attribute(SubnetId=r.id, MapPublicIpOnLaunch={"Value": True}),
        lambda p, r: p.ec2.modify_subnet_attribute(SubnetId=r.id, MapPublicIpOnLaunch={"Value": False})),
    "versioning suspended": Change("AWS::S3::Bucket", _versioning("Suspended"), _versioning("Enabled")),
    "public access block removed": Change("AWS::S3::Bucket", lambda p, r: p.s3.delete_public_access_block(Bucket=r.id),
                                          lambda p, r: p.s3.put_public_access_block(Bucket=r.id, PublicAccessBlockConfiguration=_BLOCK)),
    "bucket readable by anyone": Change("AWS::S3::Bucket", _reader("*"), _reader(None)),
    "administrator attached to role": Change("AWS::IAM::Role", lambda p, r: _admin(p, r, "attach"), lambda p, r: _admin(p, r, "detach")),
    "administrator attached to user": Change("AWS::IAM::User", lambda p, r: _admin(p, r, "attach"), lambda p, r: _admin(p, r, "detach")),
    "policy allows everything": Change("AWS::IAM::Policy", _wildcard, _first_version),
    "queue no longer encrypted": Change("AWS::SQS::Queue", _queue(KmsMasterKeyId="", SqsManagedSseEnabled="false"), _queue_back("KmsMasterKeyId")),
    "queue keeps messages for a minute": Change("AWS::SQS::Queue", _queue(MessageRetentionPeriod="60"), _queue_back("MessageRetentionPeriod")),
    "function memory changed": Change("AWS::Lambda::Function", _function(MemorySize=3008), _function(MemorySize=None)),
    "function timeout changed": Change("AWS::Lambda::Function", _function(Timeout=900), _function(Timeout=None)),
    "function on an old runtime": Change("AWS::Lambda::Function", _function(Runtime="python3.9"), _function(Runtime=None)),
    "table billed on demand": Change("AWS::DynamoDB::Table", _table("PAY_PER_REQUEST"), _table("PROVISIONED")),
    "point in time recovery off": Change("AWS::DynamoDB::Table", _recovery(False), _recovery(True)),
    "key rotation off": Change("AWS::KMS::Key", lambda p, r: p.kms.disable_key_rotation(KeyId=r.id),
                               lambda p, r: p.kms.enable_key_rotation(KeyId=r.id)),
    "log retention removed": Change("AWS::Logs::LogGroup", lambda p, r: p.logs.delete_retention_policy(logGroupName=r.id), _retention(None)),
    "log retention shortened": Change("AWS::Logs::LogGroup", _retention(1), _retention(None)),
    "alarm disabled": Change("AWS::CloudWatch::Alarm", lambda p, r: p.cloudwatch.disable_alarm_actions(AlarmNames=[r.name]),
                             lambda p, r: p.cloudwatch.enable_alarm_actions(AlarmNames=[r.name])),
    "alarm threshold raised": Change("AWS::CloudWatch::Alarm", _threshold(100000.0), _threshold(None)),
    "database backups shortened": Change("AWS::RDS::DBInstance", _database(BackupRetentionPeriod=1), lambda p, r: _database(
        BackupRetentionPeriod=r.configuration["backupRetentionPeriod"])(p, r)),
    "database made public": Change("AWS::RDS::DBInstance", _database(PubliclyAccessible=True), _database(PubliclyAccessible=False)),
    "deletion protection off": Change("AWS::RDS::DBInstance", _database(DeletionProtection=False), _database(DeletionProtection=True)),
    "image tags mutable": Change(
        "AWS::ECR::Repository", lambda p, r: p.ecr.put_image_tag_mutability(repositoryName=r.id, imageTagMutability="MUTABLE"),
        lambda p, r: p.ecr.put_image_tag_mutability(repositoryName=r.id, imageTagMutability="IMMUTABLE")),
    "topic renamed": Change(
        "AWS::SNS::Topic", lambda p, r: p.sns.set_topic_attributes(TopicArn=r.arn, AttributeName="DisplayName", AttributeValue="do not use"),
        lambda p, r: p.sns.set_topic_attributes(TopicArn=r.arn, AttributeName="DisplayName", AttributeValue=r.configuration["DisplayName"])),
    "owner of instance changed": owner("AWS::EC2::Instance"),
    "owner of bucket changed": owner("AWS::S3::Bucket"),
    "owner of queue changed": owner("AWS::SQS::Queue"),
    "owner of table changed": owner("AWS::DynamoDB::Table"),
    "cost center of volume lost": no_cost_center("AWS::EC2::Volume"),
    "cost center of function lost": no_cost_center("AWS::Lambda::Function"),
    "cost center of load balancer lost": no_cost_center("AWS::ElasticLoadBalancingV2::LoadBalancer"),
}


def delete(place: Place, r: Resource) -> None:
    """Delete a resource for good."""
    match r.type:
        case "AWS::SQS::Queue":
            place.sqs.delete_queue(QueueUrl=_queue_url(place, r))
        case "AWS::Lambda::Function":
            place.lambda_.delete_function(FunctionName=r.id)
        case "AWS::CloudWatch::Alarm":
            place.cloudwatch.delete_alarms(AlarmNames=[r.name])
        case "AWS::Logs::LogGroup":
            place.logs.delete_log_group(logGroupName=r.id)
        case "AWS::S3::Bucket":
            place.s3.delete_bucket(Bucket=r.id)
        case "AWS::DynamoDB::Table":
            place.dynamodb.update_table(TableName=r.id, DeletionProtectionEnabled=False)
            place.dynamodb.delete_table(TableName=r.id)
        case "AWS::SNS::Topic":
            place.sns.delete_topic(TopicArn=r.arn)
        case "AWS::IAM::User":
            place.iam.delete_user(UserName=r.name)
        case "AWS::ECR::Repository":
            place.ecr.delete_repository(repositoryName=r.id, force=True)
        case "AWS::EC2::Instance":
            place.ec2.terminate_instances(InstanceIds=[r.id])
        case "AWS::EC2::SecurityGroup":
            place.ec2.delete_security_group(GroupId=r.id)
        case _:
            raise ValueError(f"nothing in the story deletes a {r.type}")


def create_log_group(place: Place, r: Resource) -> None:
    """Make a deleted log group again, exactly as it was."""
    place.logs.create_log_group(logGroupName=r.id, tags={t["Key"]: t["Value"] for t in r.configuration["Tags"]})
    place.logs.put_retention_policy(logGroupName=r.id, retentionInDays=r.configuration["RetentionInDays"])


# Resources that nobody declared: each returns (type, id) of what it made. ----------------------

def stray_instance(place: Place, name: str) -> tuple[str, str]:
    """A big machine that somebody started by hand."""
    subnet = next(s for s in place.ec2.describe_subnets()["Subnets"] if not s["DefaultForAz"])
    image = place.ec2.describe_instances()["Reservations"][0]["Instances"][0]["ImageId"]
    tags = [{"Key": "Name", "Value": name}]
    made = place.ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.4xlarge", SubnetId=subnet["SubnetId"],
                                   BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 200, "DeleteOnTermination": True}}],
                                   TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    return "AWS::EC2::Instance", made["Instances"][0]["InstanceId"]


def stray_group(place: Place, name: str) -> tuple[str, str]:
    """What the console's launch wizard leaves behind."""
    vpc = next(v for v in place.ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"])["VpcId"]
    group = place.ec2.create_security_group(GroupName=name, Description=f"{name} created 2026-11-20", VpcId=vpc)["GroupId"]
    place.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
    return "AWS::EC2::SecurityGroup", group


def stray_bucket(place: Place, name: str) -> tuple[str, str]:
    """A bucket for a quick export, without any of the usual settings."""
    where = {} if place.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
    place.s3.create_bucket(Bucket=name, **where)
    return "AWS::S3::Bucket", name


def stray_function(place: Place, name: str) -> tuple[str, str]:
    """A function pasted into the console."""
    place.lambda_.create_function(FunctionName=name, Runtime="python3.9", Handler="lambda_function.lambda_handler", Code={"ZipFile": b"# test"},
                                  Role=f"arn:aws:iam::{place.account}:role/booking-{_environment(place)}-functions", MemorySize=128, Timeout=3)
    return "AWS::Lambda::Function", name


def stray_queue(place: Place, name: str) -> tuple[str, str]:
    """A queue for debugging."""
    place.sqs.create_queue(QueueName=name)
    return "AWS::SQS::Queue", f"https://sqs.{place.region}.amazonaws.com/{place.account}/{name}"


def stray_table(place: Place, name: str) -> tuple[str, str]:
    """A copy of a table."""
    place.dynamodb.create_table(TableName=name, KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
                                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}])
    return "AWS::DynamoDB::Table", name


def stray_user(place: Place, name: str) -> tuple[str, str]:
    """A user with all rights, made for a contractor."""
    arn = place.iam.create_user(UserName=name)["User"]["Arn"]
    place.iam.attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    return "AWS::IAM::User", iam_id("AIDA", arn)


def _environment(place: Place) -> str:
    return next(k for k, v in ACCOUNTS.items() if v == place.account)
