"""What happens to the estate, file by file, and what must be true of it at the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import changes, spellings, terraform
from .estate import ACCOUNTS, COMPANY
from .fakeaws import FakeAws, Place
from .fixed import BASE, Births, stamp, uuid_like, write
from .inventory import Key, Reader, Resource
from .spellings import Item

PROD, STAGING, DEV = ACCOUNTS["prod"], ACCOUNTS["staging"], ACCOUNTS["dev"]
EU, US = "eu-west-1", "us-east-1"
FIRST_SERIAL = 214


@dataclass
class Ledger:
    """The maker's own book: which changes are open on which resource, what is gone, what is new."""

    open: dict[Key, set[str]] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)
    deleted: set[Key] = field(default_factory=set)
    restored: set[Key] = field(default_factory=set)
    created: set[Key] = field(default_factory=set)
    came_and_went: set[Key] = field(default_factory=set)

    def drifted(self) -> set[Key]:
        """Resources with a change that nobody has undone."""
        return {key for key, labels in self.open.items() if labels} - self.deleted

    def put_right(self) -> set[Key]:
        """Resources that were off and no longer are."""
        return (self.touched | self.restored) - self.drifted() - self.deleted


# What is done to whom: (change, account, region, resource name). The name is the one people use:
# a Name tag for EC2, otherwise the resource's own.
FIRST_WAVE = (
    ("ssh open to the world", PROD, EU, "booking-prod-app"),
    ("ssh open to the world", PROD, EU, "payments-prod-app"),
    ("ssh open to the world", STAGING, EU, "search-staging-app"),
    ("ssh open to the world", DEV, US, "pricing-dev-app"),
    ("rdp rule added", PROD, US, "analytics-prod-app"),
    ("versioning suspended", PROD, EU, f"{COMPANY}-booking-prod-exports-{EU}"),
    ("versioning suspended", PROD, EU, f"{COMPANY}-tracking-prod-uploads-{EU}"),
    ("versioning suspended", STAGING, US, f"{COMPANY}-analytics-staging-artifacts-{US}"),
    ("public access block removed", PROD, EU, f"{COMPANY}-search-prod-exports-{EU}"),
    ("public access block removed", PROD, US, f"{COMPANY}-catalogue-prod-artifacts-{US}"),
    ("public access block removed", DEV, EU, f"{COMPANY}-pricing-dev-artifacts-{EU}"),
    ("bucket readable by anyone", PROD, EU, f"{COMPANY}-search-prod-exports-{EU}"),
    ("instance resized", PROD, EU, "checkout-prod-app-2"),
    ("instance resized", PROD, EU, "analytics-prod-app-0"),
    ("instance resized", STAGING, EU, "tracking-staging-app-1"),
    ("owner of instance changed", PROD, EU, "identity-prod-app-3"),
    ("owner of bucket changed", PROD, EU, f"{COMPANY}-payments-prod-artifacts-{EU}"),
    ("owner of queue changed", PROD, US, "pricing-prod-jobs"),
    ("owner of table changed", STAGING, EU, "identity-staging-sessions"),
    ("cost center of volume lost", PROD, EU, "search-prod-app-0"),
    ("cost center of function lost", DEV, EU, "tracking-dev-notify"),
    ("cost center of load balancer lost", PROD, US, "checkout-prod"),
)
SECOND_WAVE = (
    ("administrator attached to role", PROD, "global", "checkout-prod-deploy"),
    ("administrator attached to role", DEV, "global", "search-dev-app"),
    ("administrator attached to user", PROD, "global", "dmitri.volkov"),
    ("administrator attached to user", STAGING, "global", "svc-backup"),
    ("policy allows everything", PROD, "global", "payments-prod-data"),
    ("policy allows everything", STAGING, "global", "analytics-staging-messaging"),
    ("queue no longer encrypted", PROD, EU, "checkout-prod-events"),
    ("queue no longer encrypted", PROD, EU, "identity-prod-jobs-dlq"),
    ("queue no longer encrypted", STAGING, US, "search-staging-events"),
    ("queue keeps messages for a minute", PROD, EU, "tracking-prod-jobs"),
    ("function memory changed", PROD, EU, "booking-prod-enrich"),
    ("function memory changed", PROD, US, "catalogue-prod-ingest"),
    ("function memory changed", DEV, EU, "payments-dev-cleanup"),
    ("function timeout changed", PROD, EU, "search-prod-ingest"),
    ("function timeout changed", STAGING, EU, "notifications-staging-notify"),
    ("function on an old runtime", PROD, EU, "payments-prod-notify"),
    ("function on an old runtime", STAGING, US, "booking-staging-ingest"),
    ("table billed on demand", PROD, EU, "tracking-prod-ledger"),
    ("table billed on demand", PROD, US, "pricing-prod-ledger"),
    ("key rotation off", PROD, EU, "Data key of identity-prod"),
    ("key rotation off", DEV, US, "Data key of analytics-dev"),
)
THIRD_WAVE = (
    ("log retention removed", PROD, EU, "/aws/lambda/checkout-prod-enrich"),
    ("log retention removed", PROD, US, "/ecs/notifications-prod"),
    ("log retention shortened", STAGING, EU, "/aws/lambda/pricing-staging-notify"),
    ("log retention shortened", PROD, EU, "/ecs/tracking-prod"),
    ("alarm disabled", PROD, EU, "payments-prod-5xx"),
    ("alarm disabled", PROD, EU, "booking-prod-db-cpu"),
    ("alarm disabled", STAGING, EU, "catalogue-staging-queue-age"),
    ("alarm threshold raised", PROD, EU, "search-prod-errors"),
    ("database backups shortened", PROD, EU, "checkout-prod"),
    ("database backups shortened", DEV, EU, "identity-dev"),
    ("deletion protection off", PROD, EU, "tracking-prod"),
    ("database made public", STAGING, EU, "analytics-staging"),
    ("image tags mutable", PROD, EU, "prod/booking"),
    ("image tags mutable", DEV, EU, "dev/catalogue"),
    ("subnet hands out public addresses", PROD, EU, "prod-core-private-b"),
    ("point in time recovery off", PROD, EU, "payments-prod-sessions"),
    ("point in time recovery off", STAGING, US, "pricing-staging-sessions"),
    ("topic renamed", PROD, EU, "identity-prod-events"),
)
REPAIRS = (
    ("ssh open to the world", PROD, EU, "booking-prod-app"),
    ("ssh open to the world", STAGING, EU, "search-staging-app"),
    ("rdp rule added", PROD, US, "analytics-prod-app"),
    ("versioning suspended", PROD, EU, f"{COMPANY}-booking-prod-exports-{EU}"),
    ("public access block removed", PROD, EU, f"{COMPANY}-search-prod-exports-{EU}"),
    ("bucket readable by anyone", PROD, EU, f"{COMPANY}-search-prod-exports-{EU}"),
    ("instance resized", STAGING, EU, "tracking-staging-app-1"),
    ("owner of queue changed", PROD, US, "pricing-prod-jobs"),
    ("cost center of load balancer lost", PROD, US, "checkout-prod"),
    ("administrator attached to role", PROD, "global", "checkout-prod-deploy"),
    ("administrator attached to user", PROD, "global", "dmitri.volkov"),
    ("policy allows everything", PROD, "global", "payments-prod-data"),
    ("queue no longer encrypted", STAGING, US, "search-staging-events"),
    ("queue keeps messages for a minute", PROD, EU, "tracking-prod-jobs"),
    ("function memory changed", PROD, US, "catalogue-prod-ingest"),
    ("function timeout changed", STAGING, EU, "notifications-staging-notify"),
    ("table billed on demand", PROD, EU, "tracking-prod-ledger"),
    ("log retention removed", PROD, US, "/ecs/notifications-prod"),
    ("alarm disabled", PROD, EU, "booking-prod-db-cpu"),
    ("database backups shortened", PROD, EU, "checkout-prod"),
)
LAST_WAVE = (
    ("ssh open to the world", PROD, EU, "booking-prod-app"),  # the same group, opened a second time
    ("ssh open to the world", PROD, US, "identity-prod-app"),
    ("versioning suspended", DEV, EU, f"{COMPANY}-checkout-dev-exports-{EU}"),
    ("instance resized", PROD, EU, "booking-prod-app-0"),
    ("function memory changed", PROD, EU, "identity-prod-cleanup"),
    ("alarm disabled", PROD, US, "tracking-prod-5xx"),
    ("owner of instance changed", STAGING, US, "payments-staging-app-0"),
)
LAST_REPAIRS = (
    ("key rotation off", PROD, EU, "Data key of identity-prod"),
    ("image tags mutable", DEV, EU, "dev/catalogue"),
    ("point in time recovery off", PROD, EU, "payments-prod-sessions"),
)
DELETIONS = (
    ("AWS::SQS::Queue", PROD, EU, "search-prod-jobs-dlq"),
    ("AWS::Lambda::Function", PROD, EU, "tracking-prod-cleanup"),
    ("AWS::Lambda::Function", DEV, US, "checkout-dev-enrich"),
    ("AWS::CloudWatch::Alarm", PROD, EU, "identity-prod-throttles"),
    ("AWS::CloudWatch::Alarm", STAGING, US, "booking-staging-errors"),
    ("AWS::Logs::LogGroup", PROD, EU, "/aws/lambda/payments-prod-ingest"),
    ("AWS::Logs::LogGroup", PROD, EU, "/aws/lambda/booking-prod-cleanup"),
    ("AWS::S3::Bucket", PROD, EU, f"{COMPANY}-identity-prod-uploads-{EU}"),
    ("AWS::S3::Bucket", STAGING, EU, f"{COMPANY}-notifications-staging-exports-{EU}"),
    ("AWS::DynamoDB::Table", DEV, EU, "catalogue-dev-ledger"),
    ("AWS::ECR::Repository", DEV, EU, "dev/notifications"),
    ("AWS::IAM::User", DEV, "global", "jonas.berg"),
)
LAST_DELETIONS = (
    ("AWS::SQS::Queue", STAGING, EU, "tracking-staging-events-dlq"),
    ("AWS::SNS::Topic", PROD, EU, "checkout-prod-events"),
)
COMES_BACK = ("AWS::Logs::LogGroup", PROD, EU, "/aws/lambda/payments-prod-ingest")


class Story:
    """Tells the story to the fake AWS and writes down what an observer would see."""

    def __init__(self, aws: FakeAws, out: Path) -> None:
        self._aws, self._out = aws, out
        self._births = Births()
        self._reader = Reader(aws, self._births)
        self.ledger = Ledger()
        self.files: list[tuple[str, str, int]] = []
        self._clock = BASE
        self.baseline: dict[Key, Resource] = {}
        self._named: dict[tuple[str, str, str, str], Resource] = {}
        self._last: dict[Key, Item] = {}
        self._entries: list[terraform.Entry] = []
        self.states: list[list[terraform.Instance]] = []
        self.final_items: dict[Key, Item] = {}
        self.noisy: set[Key] = set()
        self._first_line: Item | None = None

    # what was declared -------------------------------------------------------------------------

    def record_baseline(self) -> None:
        """Read everything and write it down as what should be."""
        everything = self._reader.everything()
        self._births.now = BASE
        for number, r in enumerate(everything):
            self.baseline[r.key] = r
            self._named[r.type, r.account, r.region, _name(r)] = r
            self._last[r.key] = spellings.item(r, BASE + timedelta(milliseconds=3 * number))
        places: dict[tuple[str, str], list[Item]] = {}
        for r in everything:
            # AWS Config delivers the global resources with the snapshot of the home region.
            places.setdefault((r.account, US if r.region == "global" else r.region), []).append(self._last[r.key])
        for (account, region), items in sorted(places.items()):
            self._write(f"baseline/aws-config-{account}-{region}.json.gz", spellings.snapshot(items, account, region), len(items))
        self._entries = terraform.plan(everything, PROD)
        declared = terraform.instances(self._entries, self.baseline)
        self.states.append(declared)
        self._write("baseline/terraform.tfstate", terraform.render(declared, FIRST_SERIAL, PROD), len(declared))
        picked = [r for number, r in enumerate(everything) if number % 61 == 7]
        self.noisy = {r.key for r in picked if r.type in _NOISE_SHOWS} - _touched_later(self._named)

    def tell(self) -> None:
        """The stream, file by file, each some minutes after the one before."""
        self._listing("01-listing-all.ndjson.gz", 6, noise="first")
        self._wave("02-changes-sns.ndjson", 13, [lambda: [self._apply(c) for c in FIRST_WAVE]], [spellings.sns])
        self._listing("03-listing-prod-api.ndjson.gz", 21, account=PROD, api=True)
        self._wave("04-changes-eventbridge.ndjson", 28, [lambda: [self._apply(c) for c in SECOND_WAVE], self._strays],
                   [spellings.eventbridge])
        self._refresh("05-refreshed-1.tfstate", 36, 1)
        self._wave("06-changes-mixed.ndjson", 42, [
            lambda: [self._apply(c) for c in THIRD_WAVE[:9]], lambda: [self._delete(d) for d in DELETIONS],
            lambda: [self._apply(c) for c in THIRD_WAVE[9:]], self._comes_and_goes],
            [spellings.sns, spellings.eventbridge, lambda m: m, lambda m: spellings.api(m["configurationItem"])], repeats=True)
        self._snapshot("07-snapshot-staging-eu-west-1.json.gz", 50, STAGING, EU)
        self._wave("08-put-right-eventbridge.ndjson", 58, [lambda: [self._revert(c) for c in REPAIRS], self._comes_back],
                   [spellings.eventbridge], late=self._first_line)
        self._refresh("09-refreshed-2.tfstate.gz", 65, 2, noise=True)
        self._listing("10-listing-all-api.ndjson.gz", 72, api=True)
        self._wave("11-changes-mixed.ndjson", 80, [
            lambda: [self._apply(c) for c in LAST_WAVE], lambda: [self._revert(c) for c in LAST_REPAIRS],
            lambda: [self._delete(d) for d in LAST_DELETIONS], self._last_strays], [spellings.sns, spellings.eventbridge])
        self._refresh("12-refreshed-3.tfstate.gz", 88, 3, noise=True)
        self._listing("13-listing-all.ndjson.gz", 95, noise="last")

    # what happens ------------------------------------------------------------------------------

    def _place(self, account: str, region: str) -> Place:
        return Place(self._aws, account, US if region == "global" else region)

    def _find(self, type: str, account: str, region: str, name: str) -> Resource:
        return self._named[type, account, region, name]

    def _apply(self, what: tuple[str, str, str, str]) -> Item:
        label, account, region, name = what
        r = self._find(changes.CHANGES[label].type, account, region, name)
        changes.CHANGES[label].apply(self._place(account, region), r)
        self.ledger.open.setdefault(r.key, set()).add(label)
        self.ledger.touched.add(r.key)
        return self._see(r.key)

    def _revert(self, what: tuple[str, str, str, str]) -> Item:
        label, account, region, name = what
        r = self._find(changes.CHANGES[label].type, account, region, name)
        changes.CHANGES[label].revert(self._place(account, region), r)
        self.ledger.open[r.key].remove(label)
        return self._see(r.key)

    def _delete(self, what: tuple[str, str, str, str]) -> Item:
        r = self._find(*what)
        changes.delete(self._place(r.account, r.region), r)
        self.ledger.deleted.add(r.key)
        return self._gone(r)

    def _comes_back(self) -> list[Item]:
        r = self._find(*COMES_BACK)
        changes.create_log_group(self._place(r.account, r.region), r)
        self.ledger.deleted.remove(r.key)
        self.ledger.restored.add(r.key)
        return [self._see(r.key, "ResourceDiscovered")]

    def _stray(self, make: Callable[[Place, str], tuple[str, str]], account: str, region: str, name: str) -> list[Item]:
        type, id = make(self._place(account, region), name)
        key: Key = ("aws", account, region, type, id)
        self._births.now = self._clock
        seen = [self._see(key, "ResourceDiscovered")]
        if type == "AWS::EC2::Instance":  # its disk is a resource of its own
            for mapping in seen[0]["configuration"]["blockDeviceMappings"]:
                seen.append(self._see(("aws", account, region, "AWS::EC2::Volume", mapping["ebs"]["volumeId"]), "ResourceDiscovered"))
        self.ledger.created |= {spellings.key_of(item) for item in seen}
        return seen

    def _strays(self) -> list[Item]:
        return [item for made in (
            self._stray(changes.stray_instance, PROD, EU, "tmp-debug-dmitri"),
            self._stray(changes.stray_group, PROD, EU, "launch-wizard-1"),
            self._stray(changes.stray_bucket, PROD, US, f"{COMPANY}-tmp-export-2026"),
            self._stray(changes.stray_function, DEV, EU, "test-function-copy"),
            self._stray(changes.stray_user, PROD, "global", "contractor-temp"),
        ) for item in made]

    def _last_strays(self) -> list[Item]:
        return (self._stray(changes.stray_table, STAGING, EU, "sessions-backup-do-not-delete")
                + self._stray(changes.stray_queue, DEV, US, "debug-events"))

    def _comes_and_goes(self) -> list[Item]:
        """A queue that nobody declared and that is gone again within the file."""
        seen = self._stray(changes.stray_queue, STAGING, EU, "replay-once")
        key = spellings.key_of(seen[0])
        r = self._reader.one(key)
        assert r is not None
        self._clock += timedelta(seconds=30)
        changes.delete(self._place(r.account, r.region), r)
        self.ledger.created.remove(key)
        self.ledger.came_and_went.add(key)
        return [*seen, self._gone(r)]

    # what is seen ------------------------------------------------------------------------------

    def _tick(self) -> datetime:
        self._clock += timedelta(seconds=7, milliseconds=311)
        return self._clock

    def _see(self, key: Key, status: str = "OK") -> Item:
        r = self._reader.one(key)
        if r is None:
            raise RuntimeError(f"{key} should exist")
        when = self._tick()
        return spellings.item(r, when, status, uuid_like("trail", *key, stamp(when)))

    def _gone(self, r: Resource) -> Item:
        if self._reader.one(r.key) is not None:
            raise RuntimeError(f"{r.key} should be gone")
        when = self._tick()
        return spellings.deleted(r, when, uuid_like("trail", *r.key, stamp(when)))

    # files -------------------------------------------------------------------------------------

    def _write(self, name: str, text: str, observations: int) -> None:
        write(self._out / name, text)
        self.files.append((name, stamp(self._clock, 0), observations))

    def _at(self, minutes: int) -> None:
        self._clock = BASE + timedelta(minutes=minutes)

    def _read(self, account: str | None = None, region: str | None = None) -> list[Item]:
        if region:
            found = self._reader.region(account or "", region)
        else:
            found = self._reader.account(account) if account else self._reader.everything()
        return [spellings.item(r, self._clock + timedelta(milliseconds=5 * number)) for number, r in enumerate(found)]

    def _listing(self, name: str, minutes: int, account: str | None = None, api: bool = False, noise: str = "") -> None:
        self._at(minutes)
        items = self._read(account)
        self._last |= {spellings.key_of(item): item for item in items}
        if noise:
            items = [spellings.noisy(i, noise) if spellings.key_of(i) in self.noisy else i for i in items]
        self.final_items = {spellings.key_of(item): item for item in items} if not account else self.final_items
        self._write(f"stream/{name}", spellings.ndjson([spellings.api(i) for i in items] if api else items), len(items))

    def _snapshot(self, name: str, minutes: int, account: str, region: str) -> None:
        self._at(minutes)
        items = self._read(account, region)
        self._last |= {spellings.key_of(item): item for item in items}
        self._write(f"stream/{name}", spellings.snapshot(items, name), len(items))

    def _wave(self, name: str, minutes: int, acts: list[Callable[[], list[Item]]],
              envelopes: list[Callable[[Item], Item]], repeats: bool = False,
              late: Item | None = None) -> None:
        """Changes as notifications; the envelopes take turns."""
        self._at(minutes)
        lines: list[Item] = []
        for item in (i for act in acts for i in act()):
            key = spellings.key_of(item)
            message = spellings.notification(item, self._last.get(key))
            self._last[key] = item
            lines.append(envelopes[len(lines) % len(envelopes)](message))
        if repeats:
            # Delivery is at least once and not in order: three lines come twice, one of them late.
            lines.insert(5, lines[4])
            lines.insert(12, lines[10])
            lines.append(lines[0])
        if late:
            lines.append(late)  # what was true half an hour ago: it must not undo what came since
        self._first_line = self._first_line or lines[0]
        self._write(f"stream/{name}", spellings.ndjson(lines), len(lines))

    def _refresh(self, name: str, minutes: int, number: int, noise: bool = False) -> None:
        self._at(minutes)
        now = {r.key: r for r in self._reader.everything()}
        found = terraform.instances(self._entries, now)
        quiet = _touched_later(self._named)
        if noise:
            found = [(e, terraform.noisy(v)) if index % 23 == number and e.key not in quiet else (e, v)
                     for index, (e, v) in enumerate(found)]
        self.states.append(found)
        self._write(f"stream/{name}", terraform.render(found, FIRST_SERIAL + number, PROD), len(found))


# Types on which the noise does something besides adding nulls.
_NOISE_SHOWS = {"AWS::EC2::SecurityGroup", "AWS::DynamoDB::Table", "AWS::IAM::Role", "AWS::Lambda::Function", "AWS::S3::Bucket",
                "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::EC2::Instance", "AWS::SQS::Queue"}


def _touched_later(named: dict[tuple[str, str, str, str], Resource]) -> set[Key]:
    """Every resource that the story touches: noise stays away from them."""
    waves: tuple[Any, ...] = (*FIRST_WAVE, *SECOND_WAVE, *THIRD_WAVE, *LAST_WAVE)
    keys = {named[changes.CHANGES[label].type, account, region, name].key for label, account, region, name in waves}
    return keys | {named[what].key for what in (*DELETIONS, *LAST_DELETIONS)}


def _name(r: Resource) -> str:
    if r.type == "AWS::KMS::Key":
        return str(r.configuration["description"])
    if r.type == "AWS::EC2::Volume" and r.configuration["size"] < 10:
        return r.id  # a root disk; the data disk of a machine carries the machine's name
    return r.tags.get("Name") or r.name or r.id
