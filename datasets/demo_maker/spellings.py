"""The envelopes and spellings in which configuration items travel.

S3 snapshots, SNS and EventBridge spell an item one way, the API (`get-resource-config-history`)
another: other names for the same fields and JSON text where the others have objects.
"""

import json
import random
from datetime import datetime, timedelta
from typing import Any

from .fixed import digest, dump, stamp, uuid_like
from .inventory import Key, Resource

Item = dict[str, Any]


def item(resource: Resource, when: datetime, status: str = "OK", event: str | None = None) -> Item:
    """A resource as an item in the spelling of S3 snapshots."""
    return {
        "relatedEvents": [event] if event else [],
        "relationships": resource.relationships,
        "configuration": resource.configuration,
        "supplementaryConfiguration": resource.supplementary,
        "tags": resource.tags,
        "configurationItemVersion": "1.3",
        "configurationItemCaptureTime": stamp(when),
        "configurationStateId": int(when.timestamp() * 1000),
        "awsAccountId": resource.account,
        "configurationItemStatus": status,
        "resourceType": resource.type,
        "resourceId": resource.id,
        "resourceName": resource.name,
        "ARN": resource.arn,
        "awsRegion": resource.region,
        "availabilityZone": resource.zone,
        "configurationStateMd5Hash": "",
        "resourceCreationTime": resource.birth,
    }


def deleted(resource: Resource, when: datetime, event: str) -> Item:
    """The last item of a resource: it is gone and has no configuration."""
    last = item(resource, when, "ResourceDeleted", event)
    last |= {"relationships": [], "configuration": None, "supplementaryConfiguration": {}, "tags": {}, "resourceCreationTime": None}
    return last


def api(source: Item) -> Item:
    """The same item as the API spells it."""
    def text(value: Any) -> Any:
        return value if isinstance(value, str) else dump(value)

    when = source["configurationItemCaptureTime"].replace("Z", "000+00:00")
    return {
        "version": source["configurationItemVersion"],
        "accountId": source["awsAccountId"],
        "configurationItemCaptureTime": when,
        "configurationItemStatus": source["configurationItemStatus"],
        "configurationStateId": str(source["configurationStateId"]),
        "configurationItemMD5Hash": "",
        "arn": source["ARN"],
        "resourceType": source["resourceType"],
        "resourceId": source["resourceId"],
        **({"resourceName": source["resourceName"]} if source["resourceName"] else {}),
        "awsRegion": source["awsRegion"],
        "availabilityZone": source["availabilityZone"],
        "resourceCreationTime": source["resourceCreationTime"],
        "tags": source["tags"],
        "relatedEvents": source["relatedEvents"],
        "relationships": [
            {"resourceType": r["resourceType"], "resourceId": r["resourceId"],
             **({"resourceName": r["resourceName"]} if r["resourceName"] else {}), "relationshipName": r["name"]}
            for r in source["relationships"]],
        "configuration": dump(source["configuration"]),
        "supplementaryConfiguration": {k: text(v) for k, v in source["supplementaryConfiguration"].items()},
    }


def snapshot(items: list[Item], *name: object) -> str:
    """A snapshot file as AWS Config delivers it to a bucket."""
    head = f'{{"fileVersion":"1.0","configSnapshotId":"{uuid_like("snapshot", *name)}","configurationItems":['
    return head + ",\n".join(map(dump, items)) + "]}\n"


def ndjson(lines: list[Item]) -> str:
    """One JSON document a line."""
    return "".join(dump(line) + "\n" for line in lines)


def _changes(before: Any, after: Any, path: str, out: dict[str, Any]) -> None:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(k for k in after if k not in before)]:
            _changes(before.get(key), after.get(key), f"{path}.{key[:1].upper()}{key[1:]}", out)
    elif isinstance(before, list) and isinstance(after, list):
        # AWS shows an edited list element as one deleted and one created, under numbers of their own.
        gone, come = [v for v in before if v not in after], [v for v in after if v not in before]
        for index, value in enumerate(gone):
            out[f"{path}.{index}"] = {"previousValue": value, "updatedValue": None, "changeType": "DELETE"}
        for index, value in enumerate(come, len(gone)):
            out[f"{path}.{index}"] = {"previousValue": None, "updatedValue": value, "changeType": "CREATE"}
    else:
        kind = "CREATE" if before is None else "DELETE" if after is None else "UPDATE"
        out[path] = {"previousValue": before, "updatedValue": after, "changeType": kind}


def notification(now: Item, before: Item | None) -> Item:
    """A configuration item change notification."""
    properties: dict[str, Any] = {}
    if before is not None:
        for part in ("configuration", "supplementaryConfiguration", "tags", "relationships"):
            _changes(before[part], now[part], part[:1].upper() + part[1:], properties)
    status = now["configurationItemStatus"]
    kind = {"ResourceDiscovered": "CREATE", "ResourceDeleted": "DELETE"}.get(status, "UPDATE" if properties else "NONE")
    return {
        "configurationItemDiff": {"changedProperties": properties, "changeType": kind},
        "configurationItem": now,
        "notificationCreationTime": stamp(_when(now) + timedelta(seconds=1, milliseconds=int(digest(now["ARN"])[:2], 16))),
        "messageType": "ConfigurationItemChangeNotification",
        "recordVersion": "1.3",
    }


def _when(source: Item) -> datetime:
    return datetime.fromisoformat(source["configurationItemCaptureTime"].replace("Z", "+00:00"))


_VERBS = {"CREATE": "Created", "DELETE": "Deleted", "UPDATE": "Updated", "NONE": "Updated"}


def sns(message: Item) -> Item:
    """The notification as SNS delivers it: the message is JSON text."""
    now = message["configurationItem"]
    region = "us-east-1" if now["awsRegion"] == "global" else now["awsRegion"]
    verb = _VERBS[message["configurationItemDiff"]["changeType"]]
    identity = uuid_like("sns", now["ARN"], now["configurationStateId"])
    return {
        "Type": "Notification",
        "MessageId": identity,
        "TopicArn": f"arn:aws:sns:{region}:{now['awsAccountId']}:config-changes",
        "Subject": f"[AWS Config:{region}] {now['resourceType']} {now['resourceName'] or now['resourceId']} {verb} "
                   f"in Account {now['awsAccountId']}"[:100],
        "Message": dump(message),
        "Timestamp": stamp(_when(now) + timedelta(seconds=2)),
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": f"https://sns.{region}.amazonaws.com/SimpleNotificationService-EXAMPLE.pem",
        "UnsubscribeURL": f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe",
    }


def eventbridge(message: Item) -> Item:
    """The notification as EventBridge delivers it."""
    now = message["configurationItem"]
    return {
        "version": "0",
        "id": uuid_like("event", now["ARN"], now["configurationStateId"]),
        "detail-type": "Config Configuration Item Change",
        "source": "aws.config",
        "account": now["awsAccountId"],
        "time": stamp(_when(now) + timedelta(seconds=2), 0),
        "region": "us-east-1" if now["awsRegion"] == "global" else now["awsRegion"],
        "resources": [now["ARN"]],
        "detail": {"recordVersion": "1.3", **{k: v for k, v in message.items() if k != "recordVersion"}},
    }


# Members that a reply carries on some days and leaves out on others, and that say nothing.
_NOTHINGS: dict[str, dict[str, Any]] = {
    "AWS::EC2::Instance": {"spotInstanceRequestId": None, "outpostArn": "", "licenses": []},
    "AWS::EC2::SecurityGroup": {"securityGroupVpcAssociations": []},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"customerOwnedIpv4Pool": None},
    "AWS::DynamoDB::Table": {"restoreSummary": None, "replicas": [], "latestStreamArn": ""},
    "AWS::IAM::Role": {"description": "", "permissionsBoundary": {}},
    "AWS::Lambda::Function": {"signingJobArn": None, "stateReason": "", "fileSystemConfigs": []},
    "AWS::S3::Bucket": {"region": None},
    "AWS::SQS::Queue": {"Policy": "", "DeduplicationScope": None},
}


def noisy(source: Item, salt: str) -> Item:
    """The item with harmless differences: null for absent, other key order, other order of lists,
    JSON text written another way. None of it is drift."""
    shuffle = random.Random(digest("noise", salt, source["ARN"])).shuffle
    out: Item = json.loads(dump(source))
    configuration = out["configuration"]
    for name in ("ipPermissions", "attributeDefinitions", "attachedManagedPolicies", "encryptionAlgorithms", "architectures"):
        if len(configuration.get(name, [])) > 1:
            configuration[name].reverse()
    for name in ("availabilityZones",):
        if len(configuration.get(name, [])) > 1:
            configuration[name].append(configuration[name].pop(0))
    subnets = configuration.get("vpcConfig", {}).get("subnetIds", [])
    if subnets:
        subnets.append(subnets.pop(0))
    configuration |= _NOTHINGS.get(out["resourceType"], {})
    policy = out["supplementaryConfiguration"].get("BucketPolicy", {})
    if policy.get("policyText"):
        policy["policyText"] = json.dumps(json.loads(policy["policyText"]), indent=2, sort_keys=True)
    keys = list(configuration)
    shuffle(keys)
    out["configuration"] = {k: configuration[k] for k in keys}
    shuffle(out["relationships"])
    return out


def key_of(source: Item) -> Key:
    """The resource key of an item in the spelling of S3 snapshots."""
    return ("aws", source["awsAccountId"], source["awsRegion"], source["resourceType"], source["resourceId"])
