"""The infrastructure as its owners declared it: a small shipping company's three accounts.

Everything is created through the API, in one fixed order, because the fake AWS hands out
identifiers in the order of the calls.
"""

import json
from dataclasses import dataclass
from typing import Any

from .fakeaws import FakeAws, Place
from .fixed import number

COMPANY = "harbourline"
REGIONS = ("eu-west-1", "us-east-1")
ACCOUNTS = {"prod": "111111111111", "staging": "222222222222", "dev": "333333333333"}


@dataclass(frozen=True)
class Project:
    """A product of the company, its owners and what it runs on."""

    name: str
    owner: str
    cost_center: str
    engine: str
    port: int


PROJECTS = (
    Project("booking", "team-voyage", "CC-4110", "postgres", 8080),
    Project("checkout", "team-payments", "CC-4120", "postgres", 8080),
    Project("payments", "team-payments", "CC-4121", "postgres", 8443),
    Project("catalogue", "team-content", "CC-4130", "mysql", 8080),
    Project("search", "team-content", "CC-4131", "postgres", 9200),
    Project("identity", "team-identity", "CC-4140", "postgres", 8443),
    Project("notifications", "team-messaging", "CC-4150", "mysql", 8080),
    Project("tracking", "team-voyage", "CC-4111", "postgres", 8080),
    Project("analytics", "team-data", "CC-4160", "postgres", 8088),
    Project("pricing", "team-data", "CC-4161", "mysql", 8080),
)

# How many of each a project has: (instances, functions, queue pairs, tables, buckets, alarms, topics)
SCALE = {
    ("prod", "eu-west-1"): (4, 4, 2, 2, 3, 6, 2),
    ("prod", "us-east-1"): (3, 3, 2, 2, 2, 5, 1),
    ("staging", "eu-west-1"): (2, 4, 2, 2, 3, 4, 2),
    ("staging", "us-east-1"): (1, 3, 1, 1, 2, 3, 1),
    ("dev", "eu-west-1"): (1, 4, 2, 2, 2, 2, 1),
    ("dev", "us-east-1"): (1, 2, 1, 1, 1, 1, 1),
}

FUNCTIONS = ("ingest", "enrich", "notify", "cleanup")
QUEUES = ("events", "jobs")
TABLES = ("sessions", "ledger")
BUCKETS = ("artifacts", "exports", "uploads")
TOPICS = ("alerts", "events")
INSTANCE_TYPES = {"prod": ("m5.large", "c5.large", "m5.xlarge"), "staging": ("t3.medium",), "dev": ("t3.small",)}
USERS = ("ana.ferreira", "bram.devries", "chiara.conti", "dmitri.volkov", "elif.kaya", "farah.haddad",
         "goran.ilic", "hanna.lind", "ivo.novak", "jonas.berg", "svc-ci", "svc-backup")


def tag_map(project: Project | None, environment: str, **more: str) -> dict[str, str]:
    """The tags that every resource of the company carries."""
    tags = {
        "Environment": environment,
        "Owner": project.owner if project else "team-platform",
        "Project": project.name if project else "platform",
        "CostCenter": project.cost_center if project else "CC-4000",
        "ManagedBy": "terraform",
    }
    return {**tags, **more}


def tag_list(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """A tag map as the list that most APIs want."""
    return [{key: k, value: v} for k, v in tags.items()]


def allow(action: list[str] | str, resource: list[str] | str, sid: str = "Allow") -> dict[str, Any]:
    """An Allow statement."""
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}


def document(*statements: dict[str, Any]) -> str:
    """A policy document as text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(service: str) -> str:
    """The trust policy of a service role."""
    return document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def bucket_policy(bucket: str, reader: str) -> str:
    """TLS only, and one role that may read."""
    return document(
        {"Sid": "AllowReader", "Effect": "Allow", "Principal": {"AWS": reader},
         "Action": ["s3:GetObject", "s3:ListBucket"],
         "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]},
        {"Sid": "DenyInsecureTransport", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "s3:*",
         "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    )


def build(aws: FakeAws) -> None:
    """Create the whole estate."""
    for environment, account in ACCOUNTS.items():
        _people_and_roles(Place(aws, account, "us-east-1"), environment)
        for region in REGIONS:
            place = Place(aws, account, region)
            network = _network(place, environment)
            for project in PROJECTS:
                _project(place, environment, project, network)


def _people_and_roles(place: Place, environment: str) -> None:
    iam, account = place.iam, place.account
    for user in USERS:
        iam.create_user(UserName=user, Path="/services/" if user.startswith("svc-") else "/people/",
                        Tags=tag_list(tag_map(None, environment)))
    for user in USERS[:3]:
        iam.attach_user_policy(UserName=user, PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    for project in PROJECTS:
        base, tags = f"{project.name}-{environment}", tag_list(tag_map(project, environment))
        data = iam.create_policy(
            PolicyName=f"{base}-data", Description=f"What {project.name} may read and write", Tags=tags,
            PolicyDocument=document(
                allow(["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"],
                      f"arn:aws:dynamodb:*:{account}:table/{base}-*", "Tables"),
                allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::{COMPANY}-{base}-*/*", "Objects"),
            ))["Policy"]["Arn"]
        queues = iam.create_policy(
            PolicyName=f"{base}-messaging", Description=f"Queues and topics of {project.name}", Tags=tags,
            PolicyDocument=document(
                allow(["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage"],
                      f"arn:aws:sqs:*:{account}:{base}-*", "Queues"),
                allow("sns:Publish", f"arn:aws:sns:*:{account}:{base}-*", "Topics"),
            ))["Policy"]["Arn"]
        for role, service in (("app", "ec2.amazonaws.com"), ("functions", "lambda.amazonaws.com"),
                              ("deploy", "codebuild.amazonaws.com")):
            name = f"{base}-{role}"
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service), Tags=tags,
                            Description=f"{role} role of {project.name}", MaxSessionDuration=3600)
            iam.attach_role_policy(RoleName=name, PolicyArn=data)
            if role != "deploy":
                iam.attach_role_policy(RoleName=name, PolicyArn=queues)


@dataclass
class Network:
    """What projects need to know of a region's network."""

    vpc: str
    public: list[str]
    private: list[str]
    image: str


def _network(place: Place, environment: str) -> Network:
    ec2 = place.ec2
    second = 10 * list(ACCOUNTS).index(environment) + REGIONS.index(place.region) + 16

    def tagged(kind: str, name: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": tag_list(tag_map(None, environment, Name=name))}]

    made: dict[str, Any] = {}
    for plan, third in (("core", 0), ("data", 128)):
        cidr = f"10.{second}.{third}.0/17"
        vpc = ec2.create_vpc(CidrBlock=cidr, TagSpecifications=tagged("vpc", f"{environment}-{plan}"))["Vpc"]["VpcId"]
        gateway = None
        if plan == "core":
            gateway = ec2.create_internet_gateway(
                TagSpecifications=tagged("internet-gateway", f"{environment}-{plan}"))["InternetGateway"]["InternetGatewayId"]
            ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        for tier in (("public", "private") if plan == "core" else ("data",)):
            table = ec2.create_route_table(
                VpcId=vpc, TagSpecifications=tagged("route-table", f"{environment}-{plan}-{tier}"))["RouteTable"]["RouteTableId"]
            if tier == "public":
                ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
            for index, zone in enumerate("abc"):
                offset = third + {"public": 0, "private": 16, "data": 32}[tier] + index
                subnet = ec2.create_subnet(
                    VpcId=vpc, CidrBlock=f"10.{second}.{offset}.0/24", AvailabilityZone=f"{place.region}{zone}",
                    TagSpecifications=tagged("subnet", f"{environment}-{plan}-{tier}-{zone}"))["Subnet"]["SubnetId"]
                ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
                made.setdefault(tier, []).append(subnet)
        made.setdefault("vpc", vpc)
    images = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    linux = sorted(i["ImageId"] for i in images if "amzn" in i["Name"] and i.get("Platform") != "windows")
    return Network(made["vpc"], made["public"], made["private"], linux[0])


def _project(place: Place, environment: str, project: Project, network: Network) -> None:
    instances, functions, queues, tables, buckets, alarms, topics = SCALE[environment, place.region]
    base, account, region = f"{project.name}-{environment}", place.account, place.region
    tags = tag_map(project, environment)
    listed = tag_list(tags)
    key = place.kms.create_key(
        Description=f"Data key of {base}", Tags=tag_list(tags, "TagKey", "TagValue"),
        Policy=document({"Sid": "Root", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                         "Action": "kms:*", "Resource": "*"}))["KeyMetadata"]
    place.kms.enable_key_rotation(KeyId=key["KeyId"])
    groups = _groups(place, project, environment, network)
    _compute(place, project, environment, network, groups, instances)
    topic_arns = []
    for name in TOPICS[:topics]:
        arn = place.sns.create_topic(Name=f"{base}-{name}", Tags=listed, Attributes={
            "DisplayName": f"{project.name} {name}", "KmsMasterKeyId": key["Arn"]})["TopicArn"]
        topic_arns.append(arn)
    for name in QUEUES[:queues]:
        dead = place.sqs.create_queue(QueueName=f"{base}-{name}-dlq", tags=tags, Attributes={
            "MessageRetentionPeriod": "1209600", "KmsMasterKeyId": key["Arn"]})["QueueUrl"]
        target = place.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        place.sqs.create_queue(QueueName=f"{base}-{name}", tags=tags, Attributes={
            "VisibilityTimeout": "60", "MessageRetentionPeriod": "345600", "KmsMasterKeyId": key["Arn"],
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 5})})
    _storage(place, project, environment, key, tables, buckets)
    retention = {"prod": 365, "staging": 90, "dev": 14}[environment]
    place.logs.create_log_group(logGroupName=f"/ecs/{base}", tags=tags)
    place.logs.put_retention_policy(logGroupName=f"/ecs/{base}", retentionInDays=retention)
    for position, name in enumerate(FUNCTIONS[:functions]):
        function = f"{base}-{name}"
        place.logs.create_log_group(logGroupName=f"/aws/lambda/{function}", tags=tags)
        place.logs.put_retention_policy(logGroupName=f"/aws/lambda/{function}", retentionInDays=retention)
        place.lambda_.create_function(
            FunctionName=function, Runtime=("python3.12", "nodejs20.x")[position % 2],
            Role=f"arn:aws:iam::{account}:role/{base}-functions", Handler=f"{name}.handler",
            Code={"ZipFile": f"# {project.name} {name} {region}".encode()}, Description=f"{name} for {project.name}",
            MemorySize=256 * (1 + position), Timeout=30 * (1 + position), Tags=tags,
            Environment={"Variables": {"LOG_LEVEL": "info", "STAGE": environment}},
            VpcConfig={"SubnetIds": network.private, "SecurityGroupIds": [groups["app"]]},
            TracingConfig={"Mode": "Active"})
    _alarms(place, project, environment, topic_arns[0], alarms)
    if region == "eu-west-1":
        place.ecr.create_repository(
            repositoryName=f"{environment}/{project.name}", tags=listed, imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": key["Arn"]})


def _groups(place: Place, project: Project, environment: str, network: Network) -> dict[str, str]:
    ec2, base = place.ec2, f"{project.name}-{environment}"
    groups: dict[str, str] = {}
    database_port = {"postgres": 5432, "mysql": 3306}[project.engine]

    def rule(port: int, cidr: str | None, note: str, source: str | None = None) -> list[dict[str, Any]]:
        permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        if source:
            permission["UserIdGroupPairs"] = [{"GroupId": source, "Description": note}]
        else:
            permission["IpRanges"] = [{"CidrIp": cidr, "Description": note}]
        return [permission]

    for role in ("alb", "app", "db"):
        groups[role] = ec2.create_security_group(
            GroupName=f"{base}-{role}", Description=f"{role} tier of {project.name}", VpcId=network.vpc,
            TagSpecifications=[{"ResourceType": "security-group",
                                "Tags": tag_list(tag_map(project, environment, Name=f"{base}-{role}"))}])["GroupId"]
    # The rule for SSH is always the last one, so that an edit of it does not move the others.
    rules = {
        "alb": [rule(443, "0.0.0.0/0", "HTTPS from anywhere"), rule(80, "0.0.0.0/0", "redirect to HTTPS")],
        "app": [rule(project.port, None, "from the load balancer", groups["alb"]),
                rule(9100, "10.0.0.0/8", "node exporter"), rule(22, "10.250.0.0/16", "SSH from the bastion")],
        "db": [rule(database_port, None, "from the app tier", groups["app"]),
               rule(database_port, "10.250.0.0/16", "DBA from the bastion")],
    }
    for role, permissions in rules.items():
        for permission in permissions:
            ec2.authorize_security_group_ingress(GroupId=groups[role], IpPermissions=permission)
    return groups


def _compute(place: Place, project: Project, environment: str, network: Network, groups: dict[str, str],
             count: int) -> None:
    ec2, base = place.ec2, f"{project.name}-{environment}"
    kinds = INSTANCE_TYPES[environment]
    for index in range(count):
        tags = tag_list(tag_map(project, environment, Name=f"{base}-app-{index}"))
        instance = ec2.run_instances(
            ImageId=network.image, MinCount=1, MaxCount=1, InstanceType=kinds[index % len(kinds)],
            SubnetId=network.private[index % 3], SecurityGroupIds=[groups["app"]],
            MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled"},
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])["Instances"][0]
        volume = ec2.create_volume(
            AvailabilityZone=instance["Placement"]["AvailabilityZone"], Size=50 + 50 * (index % 2), VolumeType="gp3",
            Encrypted=True, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}])["VolumeId"]
        ec2.attach_volume(InstanceId=instance["InstanceId"], VolumeId=volume, Device="/dev/sdf")
    tags = tag_list(tag_map(project, environment))
    balancer = place.elbv2.create_load_balancer(
        Name=base, Subnets=network.public, SecurityGroups=[groups["alb"]], Scheme="internet-facing",
        Type="application", Tags=tags)["LoadBalancers"][0]["LoadBalancerArn"]
    place.elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=[
        {"Key": "deletion_protection.enabled", "Value": "true" if environment == "prod" else "false"},
        {"Key": "idle_timeout.timeout_seconds", "Value": "60"}])
    version = {"postgres": "16.4", "mysql": "8.0.39"}[project.engine]
    place.rds.create_db_instance(
        DBInstanceIdentifier=base, DBInstanceClass="db.m5.large" if environment == "prod" else "db.t3.medium",
        Engine=project.engine, EngineVersion=version, DBName=project.name, MasterUsername="app_admin",
        MasterUserPassword="not-a-real-password", AllocatedStorage=100, StorageType="gp3", StorageEncrypted=True,
        MultiAZ=environment == "prod", BackupRetentionPeriod=14 if environment == "prod" else 3,
        PubliclyAccessible=False, DeletionProtection=environment == "prod",
        PreferredMaintenanceWindow="sun:03:00-sun:03:30", PreferredBackupWindow="01:00-01:30",
        VpcSecurityGroupIds=[groups["db"]], Tags=tags)


def _storage(place: Place, project: Project, environment: str, key: dict[str, Any], tables: int, buckets: int) -> None:
    base, tags = f"{project.name}-{environment}", tag_map(project, environment)
    for index, name in enumerate(TABLES[:tables]):
        table = f"{base}-{name}"
        provisioned = index == 1
        place.dynamodb.create_table(
            TableName=table, Tags=tag_list(tags), DeletionProtectionEnabled=environment == "prod",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}],
            SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key["Arn"]},
            **({"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 25, "WriteCapacityUnits": 10}}
               if provisioned else {"BillingMode": "PAY_PER_REQUEST"}))
        place.dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    s3 = place.s3
    for name in BUCKETS[:buckets]:
        bucket = f"{COMPANY}-{base}-{name}-{place.region}"
        where = {} if place.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": place.region}}
        s3.create_bucket(Bucket=bucket, **where)
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tag_list(tags)})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={
            "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True})
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [{
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]},
            "BucketKeyEnabled": True}]})
        reader = f"arn:aws:iam::{place.account}:role/{base}-app"
        s3.put_bucket_policy(Bucket=bucket, Policy=bucket_policy(bucket, reader))
        if name != "artifacts":
            s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [{
                "ID": "expire-old", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 30}}]})


def _alarms(place: Place, project: Project, environment: str, topic: str, count: int) -> None:
    base = f"{project.name}-{environment}"
    kinds = (
        ("5xx", "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", 10.0, "LoadBalancer", f"app/{base}"),
        ("queue-age", "AWS/SQS", "ApproximateAgeOfOldestMessage", "Maximum", 300.0, "QueueName", f"{base}-events"),
        ("errors", "AWS/Lambda", "Errors", "Sum", 5.0, "FunctionName", f"{base}-ingest"),
        ("db-cpu", "AWS/RDS", "CPUUtilization", "Average", 80.0, "DBInstanceIdentifier", base),
        ("db-storage", "AWS/RDS", "FreeStorageSpace", "Minimum", 10737418240.0, "DBInstanceIdentifier", base),
        ("throttles", "AWS/DynamoDB", "ThrottledRequests", "Sum", 1.0, "TableName", f"{base}-sessions"),
    )
    for name, namespace, metric, statistic, threshold, dimension, value in kinds[:count]:
        below = name == "db-storage"
        place.cloudwatch.put_metric_alarm(
            AlarmName=f"{base}-{name}", AlarmDescription=f"{metric} of {project.name}", ActionsEnabled=True,
            AlarmActions=[topic], OKActions=[topic], MetricName=metric, Namespace=namespace, Statistic=statistic,
            Dimensions=[{"Name": dimension, "Value": value}], Period=60 * (1 + number(5, base, name)),
            EvaluationPeriods=3, DatapointsToAlarm=2, Threshold=threshold, TreatMissingData="notBreaching",
            ComparisonOperator="LessThanThreshold" if below else "GreaterThanThreshold",
            Tags=tag_list(tag_map(project, environment)))
