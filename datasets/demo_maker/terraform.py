"""The same objects as a Terraform state (version 4), with the attribute names of the AWS provider.

`plan` decides once, from the baseline, which objects the state manages and under which addresses;
`render` writes a state from what the objects look like at some time. An object that is gone has no
instance in a refreshed state.
"""

import base64
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .fixed import uuid_like
from .inventory import Key, Resource

Attributes = dict[str, Any]
PROJECTS = ("booking", "checkout", "payments", "search", "identity", "tracking")
PROVIDER = 'provider["registry.terraform.io/hashicorp/aws"]'
DEPOSED_KEY = "4f1c09ab"


@dataclass
class Entry:
    """One instance in the state and the object behind it."""

    module: str
    type: str
    name: str
    index: int | str | None
    key: Key
    provider: str = PROVIDER
    tainted: bool = False
    deposed: bool = False

    @property
    def address(self) -> str:
        """The instance's address."""
        index = "" if self.index is None else f"[{json.dumps(self.index)}]"
        return f"{self.module}.{self.type}.{self.name}{index}"


def _tags(r: Resource) -> Attributes:
    return {"tags": dict(r.tags), "tags_all": dict(r.tags)}


def _vpc(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "assign_generated_ipv6_cidr_block": False, "cidr_block": c["cidrBlock"], "dhcp_options_id": c["dhcpOptionsId"],
            "enable_dns_hostnames": True, "enable_dns_support": True, "enable_network_address_usage_metrics": False, "id": r.id,
            "instance_tenancy": c["instanceTenancy"], "ipv4_ipam_pool_id": None, "ipv4_netmask_length": None, "ipv6_association_id": "",
            "ipv6_cidr_block": "", "owner_id": c["ownerId"], **_tags(r)}


def _subnet(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "assign_ipv6_address_on_creation": c["assignIpv6AddressOnCreation"], "availability_zone": c["availabilityZone"],
            "availability_zone_id": c["availabilityZoneId"], "cidr_block": c["cidrBlock"], "customer_owned_ipv4_pool": "",
            "enable_dns64": False, "id": r.id, "ipv6_cidr_block": "", "ipv6_native": c["ipv6Native"],
            "map_public_ip_on_launch": c["mapPublicIpOnLaunch"], "outpost_arn": "", "owner_id": c["ownerId"],
            "private_dns_hostname_type_on_launch": "ip-name", "timeouts": None, "vpc_id": c["vpcId"], **_tags(r)}


def _gateway(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "id": r.id, "owner_id": c["ownerId"], "timeouts": None, "vpc_id": c["attachments"][0]["vpcId"], **_tags(r)}


def _route_table(r: Resource) -> Attributes:
    c = r.configuration
    blank = dict.fromkeys(("carrier_gateway_id", "core_network_arn", "destination_prefix_list_id", "egress_only_gateway_id",
                           "ipv6_cidr_block", "local_gateway_id", "nat_gateway_id", "network_interface_id",
                           "transit_gateway_id", "vpc_endpoint_id", "vpc_peering_connection_id"), "")
    routes = [{**blank, "cidr_block": o["destinationCidrBlock"], "gateway_id": o["gatewayId"]}
              for o in c["routes"] if o.get("gatewayId") != "local"]
    return {"arn": r.arn, "id": r.id, "owner_id": c["ownerId"], "propagating_vgws": [], "route": routes, "timeouts": None,
            "vpc_id": c["vpcId"], **_tags(r)}


def _rules(permissions: list[Attributes]) -> list[Attributes]:
    return [{
        "cidr_blocks": list(p["ipRanges"]),
        "description": next((x["description"] for x in p["ipv4Ranges"] + p["userIdGroupPairs"] if x.get("description")), ""),
        "from_port": p["fromPort"] or 0, "ipv6_cidr_blocks": [], "prefix_list_ids": [],
        "protocol": p["ipProtocol"], "security_groups": [g["groupId"] for g in p["userIdGroupPairs"]], "self": False,
        "to_port": p["toPort"] or 0} for p in permissions]


def _security_group(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "description": c["description"], "egress": _rules(c["ipPermissionsEgress"]), "id": r.id,
            "ingress": _rules(c["ipPermissions"]), "name": c["groupName"], "name_prefix": "", "owner_id": c["ownerId"],
            "revoke_rules_on_delete": False, "timeouts": None, "vpc_id": c["vpcId"], **_tags(r)}


def _instance(r: Resource) -> Attributes:
    c = r.configuration
    network, options = c["networkInterfaces"][0], c["metadataOptions"]
    return {"ami": c["imageId"], "arn": r.arn, "associate_public_ip_address": False, "availability_zone": r.zone,
            "disable_api_termination": False, "ebs_optimized": c["ebsOptimized"], "get_password_data": False, "hibernation": False,
            "iam_instance_profile": "", "id": r.id, "instance_initiated_shutdown_behavior": "stop", "instance_state": c["state"]["name"],
            "instance_type": c["instanceType"], "ipv6_address_count": 0, "ipv6_addresses": [], "key_name": "",
            "metadata_options": [{"http_endpoint": options["httpEndpoint"], "http_put_response_hop_limit": options["httpPutResponseHopLimit"],
                                  "http_tokens": options["httpTokens"], "instance_metadata_tags": options["instanceMetadataTags"]}],
            "monitoring": c["monitoring"]["state"] == "enabled", "placement_group": "", "primary_network_interface_id": network["networkInterfaceId"],
            "private_dns": c["privateDnsName"], "private_ip": c["privateIpAddress"], "public_dns": "", "public_ip": "",
            "root_block_device": [{"delete_on_termination": True, "device_name": c["rootDeviceName"], "encrypted": False, "volume_type": "gp2",
                                   "volume_id": c["blockDeviceMappings"][0]["ebs"]["volumeId"], "volume_size": 8}],
            "secondary_private_ips": [], "security_groups": [], "source_dest_check": c["sourceDestCheck"], "subnet_id": c["subnetId"],
            "tenancy": c["placement"]["tenancy"], "timeouts": None, "user_data": None, "user_data_replace_on_change": False,
            "vpc_security_group_ids": [g["groupId"] for g in c["securityGroups"]], **_tags(r)}


def _volume(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "availability_zone": c["availabilityZone"], "encrypted": c["encrypted"], "final_snapshot": False, "id": r.id,
            "iops": c.get("iops", 0), "kms_key_id": c.get("kmsKeyId", ""), "multi_attach_enabled": False, "outpost_arn": "",
            "size": c["size"], "snapshot_id": "", "throughput": c.get("throughput", 0), "timeouts": None, "type": c["volumeType"], **_tags(r)}


def _bucket(r: Resource) -> Attributes:
    s = r.supplementary
    owner = r.configuration["owner"]["id"]
    rules = [{"rule": [{"apply_server_side_encryption_by_default": [{
        "kms_master_key_id": e["applyServerSideEncryptionByDefault"].get("kmsMasterKeyID") or "",
        "sse_algorithm": e["applyServerSideEncryptionByDefault"]["sseAlgorithm"]}], "bucket_key_enabled": e["bucketKeyEnabled"]}]}
        for e in s.get("ServerSideEncryptionConfiguration", {}).get("rules", [])]
    life = [{"abort_incomplete_multipart_upload_days": 0, "enabled": o["status"] == "Enabled", "id": o["id"],
             "expiration": [{"date": "", "days": o["expirationInDays"], "expired_object_delete_marker": False}],
             "noncurrent_version_expiration": [], "noncurrent_version_transition": [],
             "prefix": o["filter"]["predicate"]["prefix"], "tags": {}, "transition": []}
            for o in s.get("BucketLifecycleConfiguration", {}).get("rules", [])]
    return {"acceleration_status": "", "acl": None, "arn": r.arn, "bucket": r.id, "bucket_domain_name": f"{r.id}.s3.amazonaws.com",
            "bucket_prefix": "", "bucket_regional_domain_name": f"{r.id}.s3.{r.region}.amazonaws.com", "cors_rule": [], "force_destroy": False,
            "grant": [{"id": owner, "permissions": ["FULL_CONTROL"], "type": "CanonicalUser", "uri": ""}],
            "id": r.id, "lifecycle_rule": life, "logging": [],
            "object_lock_configuration": [], "object_lock_enabled": False, "policy": s["BucketPolicy"]["policyText"] or "",
            "region": r.region, "replication_configuration": [], "request_payer": "BucketOwner",
            "server_side_encryption_configuration": rules, "timeouts": None,
            "versioning": [{"enabled": s["BucketVersioningConfiguration"]["status"] == "Enabled", "mfa_delete": False}],
            "website": [], **_tags(r)}


def _bucket_versioning(r: Resource) -> Attributes:
    status = r.supplementary["BucketVersioningConfiguration"]["status"]
    return {"bucket": r.id, "expected_bucket_owner": "", "id": r.id, "mfa": None,
            "versioning_configuration": [{"mfa_delete": "", "status": status}]}


def _bucket_block(r: Resource) -> Attributes | None:
    block = r.supplementary.get("PublicAccessBlockConfiguration")
    if block is None:
        return None  # removed: a refresh drops the instance
    return {"block_public_acls": block["blockPublicAcls"], "block_public_policy": block["blockPublicPolicy"], "bucket": r.id, "id": r.id,
            "ignore_public_acls": block["ignorePublicAcls"], "restrict_public_buckets": block["restrictPublicBuckets"]}


def _text(document: str) -> str:
    return urllib.parse.unquote(document)


def _role(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "assume_role_policy": _text(c["assumeRolePolicyDocument"]), "create_date": c["createDate"].replace(".000Z", "Z"),
            "description": f"{str(r.name).rsplit('-', 1)[1]} role of {r.tags['Project']}", "force_detach_policies": False, "id": r.name,
            "inline_policy": [], "managed_policy_arns": [p["policyArn"] for p in c["attachedManagedPolicies"]],
            "max_session_duration": 3600, "name": r.name, "name_prefix": "", "path": c["path"], "permissions_boundary": "",
            "unique_id": r.id, **_tags(r)}


def _policy(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "attachment_count": c["attachmentCount"], "description": c["description"], "id": r.arn, "name": r.name,
            "name_prefix": "", "path": c["path"], "policy": _text(c["policyVersionList"][0]["document"]), "policy_id": r.id, **_tags(r)}


def _queue(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "content_based_deduplication": False, "deduplication_scope": "", "delay_seconds": c["DelaySeconds"],
            "fifo_queue": False, "fifo_throughput_limit": "", "id": r.id,
            "kms_data_key_reuse_period_seconds": c.get("KmsDataKeyReusePeriodSeconds", 300),
            "kms_master_key_id": c.get("KmsMasterKeyId", ""), "max_message_size": c["MaximumMessageSize"],
            "message_retention_seconds": c["MessageRetentionPeriod"], "name": r.name, "name_prefix": "", "policy": c.get("Policy", ""),
            "receive_wait_time_seconds": c["ReceiveMessageWaitTimeSeconds"], "redrive_allow_policy": "",
            "redrive_policy": c.get("RedrivePolicy", ""), "sqs_managed_sse_enabled": c["SqsManagedSseEnabled"] == "true",
            "timeouts": None, "url": r.id, "visibility_timeout_seconds": c["VisibilityTimeout"], **_tags(r)}


def _topic(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "archive_policy": "", "beginning_archive_time": "", "content_based_deduplication": False, "delivery_policy": "",
            "display_name": c.get("DisplayName", ""), "fifo_topic": False, "id": r.arn, "kms_master_key_id": c.get("KmsMasterKeyId", ""),
            "name": r.name, "name_prefix": "", "owner": c["Owner"], "policy": c["Policy"], "signature_version": 0,
            "tracing_config": "", **_tags(r)}


def _table(r: Resource) -> Attributes:
    c = r.configuration
    keys = {k["keyType"]: k["attributeName"] for k in c["keySchema"]}
    recovery = r.supplementary["ContinuousBackupsDescription"]["pointInTimeRecoveryDescription"]["pointInTimeRecoveryStatus"]
    throughput = c.get("provisionedThroughput", {})
    return {"arn": r.arn, "attribute": [{"name": a["attributeName"], "type": a["attributeType"]} for a in c["attributeDefinitions"]],
            "billing_mode": c["billingModeSummary"]["billingMode"], "deletion_protection_enabled": c["deletionProtectionEnabled"],
            "global_secondary_index": [], "hash_key": keys["HASH"], "id": r.id, "import_table": [], "local_secondary_index": [], "name": r.id,
            "on_demand_throughput": [], "point_in_time_recovery": [{"enabled": recovery == "ENABLED"}], "range_key": keys.get("RANGE"),
            "read_capacity": throughput.get("readCapacityUnits", 0), "replica": [],
            "server_side_encryption": [{"enabled": True, "kms_key_arn": c["ssedescription"]["kmsmasterKeyArn"]}], "stream_arn": "",
            "stream_enabled": False, "stream_label": "", "stream_view_type": "", "table_class": "STANDARD", "timeouts": None,
            "ttl": [{"attribute_name": "", "enabled": False}], "write_capacity": throughput.get("writeCapacityUnits", 0), **_tags(r)}


def _function(r: Resource) -> Attributes:
    c = r.configuration
    invoke = f"arn:aws:apigateway:{r.region}:lambda:path/2015-03-31/functions/{r.arn}/invocations"
    return {"architectures": list(c["architectures"]), "arn": r.arn, "code_signing_config_arn": "", "dead_letter_config": [],
            "description": c["description"], "environment": [{"variables": dict(c["environment"]["variables"])}],
            "ephemeral_storage": [{"size": c["ephemeralStorage"]["size"]}], "file_system_config": [], "filename": "build/function.zip",
            "function_name": r.id, "handler": c["handler"], "id": r.id, "image_config": [], "image_uri": "", "invoke_arn": invoke,
            "kms_key_arn": "", "last_modified": c["lastModified"], "layers": [], "memory_size": c["memorySize"],
            "package_type": c["packageType"], "publish": False, "qualified_arn": f"{r.arn}:$LATEST", "reserved_concurrent_executions": -1,
            "role": c["role"], "runtime": c["runtime"], "s3_bucket": None, "s3_key": None, "skip_destroy": False, "snap_start": [],
            "source_code_hash": c["codeSha256"], "source_code_size": c["codeSize"], "timeout": c["timeout"], "timeouts": None,
            "tracing_config": [{"mode": c["tracingConfig"]["mode"]}], "version": "$LATEST",
            "vpc_config": [{"security_group_ids": list(c["vpcConfig"]["securityGroupIds"]), "subnet_ids": list(c["vpcConfig"]["subnetIds"]),
                            "vpc_id": c["vpcConfig"]["vpcId"]}], **_tags(r)}


def _key(r: Resource) -> Attributes:
    c, s = r.configuration, r.supplementary
    return {"arn": r.arn, "bypass_policy_lockout_safety_check": False, "custom_key_store_id": "",
            "customer_master_key_spec": c["customerMasterKeySpec"], "deletion_window_in_days": None, "description": c["description"],
            "enable_key_rotation": s["KeyRotationStatus"], "id": r.id, "is_enabled": c["enabled"], "key_id": r.id, "key_usage": c["keyUsage"],
            "multi_region": False, "policy": s["Policy"], "rotation_period_in_days": 365 if s["KeyRotationStatus"] else None, **_tags(r)}


def _log_group(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn.removesuffix(":*"), "id": r.id, "kms_key_id": "", "log_group_class": c["LogGroupClass"], "name": r.id,
            "name_prefix": "", "retention_in_days": c.get("RetentionInDays", 0), "skip_destroy": False, **_tags(r)}


def _alarm(r: Resource) -> Attributes:
    c = r.configuration
    return {"actions_enabled": c["actionsEnabled"], "alarm_actions": list(c["alarmActions"]), "alarm_description": c["alarmDescription"],
            "alarm_name": r.name, "arn": r.arn, "comparison_operator": c["comparisonOperator"], "datapoints_to_alarm": c["datapointsToAlarm"],
            "dimensions": {d["name"]: d["value"] for d in c["dimensions"]}, "evaluate_low_sample_count_percentiles": "",
            "evaluation_periods": c["evaluationPeriods"], "extended_statistic": "", "id": r.name, "insufficient_data_actions": [],
            "metric_name": c["metricName"], "metric_query": [], "namespace": c["namespace"], "ok_actions": list(c["okactions"]),
            "period": c["period"], "statistic": c["statistic"], "threshold": c["threshold"], "threshold_metric_id": "",
            "treat_missing_data": c["treatMissingData"], "unit": "", **_tags(r)}


def _database(r: Resource) -> Attributes:
    c = r.configuration
    host, port = c["endpoint"]["address"], c["endpoint"]["port"]
    return {"address": host, "allocated_storage": c["allocatedStorage"], "allow_major_version_upgrade": None, "apply_immediately": False,
            "arn": r.arn, "auto_minor_version_upgrade": c["autoMinorVersionUpgrade"], "availability_zone": c["availabilityZone"],
            "backup_retention_period": c["backupRetentionPeriod"], "backup_window": c["preferredBackupWindow"],
            "ca_cert_identifier": c["cACertificateIdentifier"], "copy_tags_to_snapshot": c["copyTagsToSnapshot"],
            "db_name": c["dBName"], "db_subnet_group_name": c["dBSubnetGroup"]["dBSubnetGroupName"], "delete_automated_backups": True,
            "deletion_protection": c["deletionProtection"], "enabled_cloudwatch_logs_exports": [], "endpoint": f"{host}:{port}",
            "engine": c["engine"], "engine_version": c["engineVersion"], "engine_version_actual": c["engineVersion"],
            "final_snapshot_identifier": f"{r.name}-final", "iam_database_authentication_enabled": c["iAMDatabaseAuthenticationEnabled"],
            "id": r.id, "identifier": r.name, "identifier_prefix": "", "instance_class": c["dBInstanceClass"], "iops": 0,
            "kms_key_id": c["kmsKeyId"], "license_model": c["licenseModel"], "maintenance_window": c["preferredMaintenanceWindow"],
            "manage_master_user_password": None, "max_allocated_storage": 0, "monitoring_interval": c["monitoringInterval"],
            "multi_az": c["multiAZ"], "option_group_name": c["optionGroupMemberships"][0]["optionGroupName"],
            "parameter_group_name": c["dBParameterGroups"][0]["dBParameterGroupName"], "password": "not-a-real-password",
            "performance_insights_enabled": False, "port": port, "publicly_accessible": c["publiclyAccessible"], "replicas": [],
            "resource_id": r.id, "skip_final_snapshot": False, "status": c["dBInstanceStatus"], "storage_encrypted": c["storageEncrypted"],
            "storage_type": c["storageType"], "timeouts": None, "username": c["masterUsername"],
            "vpc_security_group_ids": [g["vpcSecurityGroupId"] for g in c["vpcSecurityGroups"]], **_tags(r)}


def _repository(r: Resource) -> Attributes:
    c = r.configuration
    return {"arn": r.arn, "encryption_configuration": [{"encryption_type": c["EncryptionConfiguration"]["EncryptionType"],
                                                        "kms_key": c["EncryptionConfiguration"]["KmsKey"]}], "force_delete": None, "id": r.id,
            "image_scanning_configuration": [{"scan_on_push": c["ImageScanningConfiguration"]["ScanOnPush"]}],
            "image_tag_mutability": c["ImageTagMutability"], "name": r.id, "registry_id": r.account, "repository_url": c["RepositoryUri"],
            "timeouts": None, **_tags(r)}


def _balancer(r: Resource) -> Attributes:
    c = r.configuration
    options = {a["key"]: a["value"] for a in r.supplementary["LoadBalancerAttributes"]}
    return {"access_logs": [{"bucket": "", "enabled": False, "prefix": ""}], "arn": r.arn, "arn_suffix": r.arn.split("loadbalancer/", 1)[1],
            "customer_owned_ipv4_pool": "", "desync_mitigation_mode": "defensive", "dns_name": c["dNSName"],
            "drop_invalid_header_fields": False, "enable_cross_zone_load_balancing": True,
            "enable_deletion_protection": options.get("deletion_protection.enabled") == "true", "enable_http2": True, "id": r.arn,
            "idle_timeout": int(options.get("idle_timeout.timeout_seconds", 60)), "internal": c["scheme"] == "internal",
            "ip_address_type": c["ipAddressType"], "load_balancer_type": c["type"], "name": r.name, "name_prefix": "",
            "security_groups": list(c["securityGroups"]),
            "subnet_mapping": [{"allocation_id": "", "ipv6_address": "", "outpost_id": "", "private_ipv4_address": "", "subnet_id": z["subnetId"]}
                               for z in c["availabilityZones"]],
            "subnets": [z["subnetId"] for z in c["availabilityZones"]], "timeouts": None, "vpc_id": c["vpcId"],
            "zone_id": c["canonicalHostedZoneId"], **_tags(r)}


_KINDS: dict[str, tuple[str, int, Callable[[Resource], Attributes | None]]] = {
    "aws_vpc": ("AWS::EC2::VPC", 1, _vpc), "aws_subnet": ("AWS::EC2::Subnet", 1, _subnet),
    "aws_internet_gateway": ("AWS::EC2::InternetGateway", 0, _gateway), "aws_route_table": ("AWS::EC2::RouteTable", 0, _route_table),
    "aws_security_group": ("AWS::EC2::SecurityGroup", 1, _security_group), "aws_instance": ("AWS::EC2::Instance", 1, _instance),
    "aws_ebs_volume": ("AWS::EC2::Volume", 0, _volume), "aws_s3_bucket": ("AWS::S3::Bucket", 0, _bucket),
    "aws_s3_bucket_versioning": ("AWS::S3::Bucket", 0, _bucket_versioning),
    "aws_s3_bucket_public_access_block": ("AWS::S3::Bucket", 0, _bucket_block), "aws_iam_role": ("AWS::IAM::Role", 0, _role),
    "aws_iam_policy": ("AWS::IAM::Policy", 0, _policy), "aws_sqs_queue": ("AWS::SQS::Queue", 0, _queue),
    "aws_sns_topic": ("AWS::SNS::Topic", 0, _topic), "aws_dynamodb_table": ("AWS::DynamoDB::Table", 1, _table),
    "aws_lambda_function": ("AWS::Lambda::Function", 0, _function), "aws_kms_key": ("AWS::KMS::Key", 0, _key),
    "aws_cloudwatch_log_group": ("AWS::Logs::LogGroup", 0, _log_group),
    "aws_cloudwatch_metric_alarm": ("AWS::CloudWatch::Alarm", 1, _alarm), "aws_db_instance": ("AWS::RDS::DBInstance", 2, _database),
    "aws_ecr_repository": ("AWS::ECR::Repository", 0, _repository), "aws_lb": ("AWS::ElasticLoadBalancingV2::LoadBalancer", 0, _balancer),
}
_DEPENDS = {
    "aws_subnet": ["aws_vpc.core"], "aws_internet_gateway": ["aws_vpc.core"], "aws_route_table": ["aws_vpc.core"],
    "aws_security_group": ["module.network.aws_vpc.core"], "aws_lb": ["aws_security_group.this", "module.network.aws_subnet.public"],
    "aws_instance": ["aws_security_group.this", "module.network.aws_subnet.private", "module.network.data.aws_ami.linux"],
    "aws_lambda_function": ["aws_security_group.this", "module.iam.aws_iam_role.this", "module.network.aws_subnet.private"],
    "aws_sqs_queue": ["aws_kms_key.data"], "aws_sns_topic": ["aws_kms_key.data"], "aws_s3_bucket_versioning": ["aws_s3_bucket.this"],
    "aws_s3_bucket_public_access_block": ["aws_s3_bucket.this"], "aws_cloudwatch_metric_alarm": ["aws_sns_topic.this"],
    "aws_dynamodb_table": ["aws_kms_key.data"], "aws_db_instance": ["aws_security_group.this"], "aws_ecr_repository": ["aws_kms_key.data"],
}


def plan(baseline: list[Resource], account: str) -> list[Entry]:
    """The instances of the state: six products of an account in one region, and a second region's bits."""
    entries: list[Entry] = []
    for r in baseline:
        if r.account != account:
            continue
        if r.region in ("eu-west-1", "global"):
            entries += _entries(r)
        elif r.region == "us-east-1" and r.tags.get("Project") == "booking" and r.type in (
                "AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::Logs::LogGroup"):
            for entry in _entries(r):
                entry.module, entry.provider = 'module.standby["us-east-1"]', f"{PROVIDER}.us_east_1"
                entries.append(entry)
    for entry in entries:
        if (entry.module, entry.type, entry.index) == ('module.service["checkout"]', "aws_instance", 1):
            entry.tainted = True
        if (entry.module, entry.type, entry.index) == ('module.service["payments"]', "aws_instance", 3):
            # The fourth machine is what a create-before-destroy of the first one left behind.
            entry.index, entry.deposed = 0, True
    return sorted(entries, key=lambda e: (e.module, e.type, e.name, str(e.index), e.deposed))


def _entries(r: Resource) -> list[Entry]:
    project, environment = r.tags.get("Project"), r.tags.get("Environment")
    if project == "platform" and r.type in ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::InternetGateway", "AWS::EC2::RouteTable"):
        kind = next(k for k, v in _KINDS.items() if v[0] == r.type)
        parts = r.tags["Name"].split("-")[1:]  # core, core-public or core-public-a
        name = parts[-2] if r.type == "AWS::EC2::Subnet" else parts[-1]
        return [Entry("module.network", kind, name, "abc".index(parts[-1]) if r.type == "AWS::EC2::Subnet" else None, r.key)]
    if project not in PROJECTS:
        return []
    base, module = f"{project}-{environment}", f'module.service["{project}"]'
    name = r.tags.get("Name") or r.name or ""
    rest = name.split(base, 1)[1].strip("-") if base in name else ""

    def one(kind: str, label: str = "this", index: int | str | None = None, inner: str = "") -> Entry:
        return Entry(module + inner, kind, label, index, r.key)

    match r.type:
        case "AWS::EC2::SecurityGroup":
            return [one("aws_security_group", index=rest)]
        case "AWS::EC2::Instance":
            return [one("aws_instance", "app", int(rest.split("-")[1]))]
        case "AWS::EC2::Volume":
            return [one("aws_ebs_volume", "data", int(rest.split("-")[1]))]
        case "AWS::S3::Bucket":
            index = rest.removesuffix(f"-{r.region}")
            return [one("aws_s3_bucket", index=index), one("aws_s3_bucket_versioning", index=index),
                    one("aws_s3_bucket_public_access_block", index=index)]
        case "AWS::SQS::Queue":
            return [one("aws_sqs_queue", "dead_letter" if rest.endswith("-dlq") else "this", rest.removesuffix("-dlq"))]
        case "AWS::IAM::Role" | "AWS::IAM::Policy":
            return [one("aws_iam_role" if r.type.endswith("Role") else "aws_iam_policy", "this", rest, ".module.iam")]
        case "AWS::Logs::LogGroup":
            return [one("aws_cloudwatch_log_group", "function", rest) if r.id.startswith("/aws/lambda/")
                    else one("aws_cloudwatch_log_group", "service")]
        case "AWS::KMS::Key":
            return [one("aws_kms_key", "data")]
        case "AWS::RDS::DBInstance" | "AWS::ECR::Repository" | "AWS::ElasticLoadBalancingV2::LoadBalancer":
            return [one(next(k for k, v in _KINDS.items() if v[0] == r.type))]
        case "AWS::SNS::Topic" | "AWS::DynamoDB::Table" | "AWS::Lambda::Function" | "AWS::CloudWatch::Alarm":
            return [one(next(k for k, v in _KINDS.items() if v[0] == r.type), index=rest)]
    return []


def attributes(entry: Entry, resource: Resource) -> Attributes | None:
    """The attributes of an instance in Terraform's order, or nothing if the object it stands for is gone."""
    values = _KINDS[entry.type][2](resource)
    return None if values is None else dict(sorted(values.items()))


def key_of(type: str, values: Attributes) -> Key:
    """The resource key of an instance: account and region come from its ARN, where it has one."""
    parts = str(values.get("arn") or "").split(":")
    account, region = (parts[4], parts[3]) if len(parts) > 5 else ("", "")
    return ("aws", account, region, type, values["id"])


Instance = tuple[Entry, Attributes]


def instances(entries: list[Entry], now: dict[Key, Resource]) -> list[Instance]:
    """The instances that exist now, with their attributes."""
    out = []
    for entry in entries:
        values = attributes(entry, now[entry.key]) if entry.key in now else None
        if values is not None:
            out.append((entry, values))
    return out


def noisy(values: Attributes) -> Attributes:
    """The attributes with harmless differences: null for empty, sets in another order, JSON text written another way."""
    out: Attributes = json.loads(json.dumps(values))
    for name, value in out.items():
        if value in ("", []):
            out[name] = None
        elif name in ("ingress", "security_groups", "subnets", "managed_policy_arns", "attribute") and len(value) > 1:
            value.reverse()
        elif isinstance(value, str) and value.startswith("{"):
            out[name] = json.dumps(json.loads(value), sort_keys=True, separators=(", ", ": "))
    return out


def render(found: list[Instance], serial: int, account: str) -> str:
    """A state file."""
    resources: list[dict[str, Any]] = [
        {"mode": "data", "type": "aws_caller_identity", "name": "current", "provider": PROVIDER, "instances": [{
            "schema_version": 0, "attributes": {"account_id": account, "arn": f"arn:aws:sts::{account}:assumed-role/terraform/plan",
                                                "id": account, "user_id": "AROAEXAMPLETERRAFORM00:plan"}, "sensitive_attributes": []}]},
    ]
    ami = next(v["ami"] for e, v in found if e.type == "aws_instance")
    data_ami = {"module": "module.network", "mode": "data", "type": "aws_ami", "name": "linux", "provider": PROVIDER, "instances": [{
        "schema_version": 0, "attributes": {"architecture": "x86_64", "id": ami, "image_id": ami, "most_recent": True, "owners": ["amazon"]},
        "sensitive_attributes": []}]}
    resources.append(data_ami)
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry, values in found:
        place = (entry.module, entry.type, entry.name)
        if place not in groups:
            groups[place] = {"module": entry.module, "mode": "managed", "type": entry.type, "name": entry.name,
                             "provider": entry.provider, "instances": []}
            resources.append(groups[place])
        instance: dict[str, Any] = {}
        if entry.index is not None:
            instance["index_key"] = entry.index
        if entry.tainted:
            instance["status"] = "tainted"
        if entry.deposed:
            instance["deposed"] = DEPOSED_KEY
        version = _KINDS[entry.type][1]
        instance |= {"schema_version": version, "attributes": values,
                     "sensitive_attributes": [[{"type": "get_attr", "value": "password"}]] if "password" in values else []}
        private = {"schema_version": str(version)}
        instance["private"] = base64.b64encode(json.dumps(private, separators=(",", ":")).encode()).decode()
        depends = _DEPENDS.get(entry.type, [])
        if depends:
            prefix = entry.module.split("[")[0]
            instance["dependencies"] = sorted(d if d.startswith("module.network") else f"{prefix}.{d}" for d in depends)
        if entry.type == "aws_instance":
            instance["create_before_destroy"] = True
        groups[place]["instances"].append(instance)
    resources.sort(key=lambda r: (r.get("module", ""), r["mode"], r["type"], r["name"]))  # as Terraform writes them
    state = {
        "version": 4, "terraform_version": "1.9.8", "serial": serial, "lineage": uuid_like("lineage", account),
        "outputs": {
            "vpc_id": {"value": next(v["id"] for e, v in found if e.type == "aws_vpc"), "type": "string"},
            "database_password": {"value": "not-a-real-password", "type": "string", "sensitive": True}},
        "resources": resources, "check_results": None,
    }
    return json.dumps(state, indent=2, ensure_ascii=False) + "\n"
