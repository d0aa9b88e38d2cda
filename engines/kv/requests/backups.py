"""The past: backups, and point-in-time recovery.

    CreateBackup DescribeBackup ListBackups DeleteBackup RestoreTableFromBackup
    UpdateContinuousBackups DescribeContinuousBackups RestoreTableToPointInTime

A backup is one table in a snapshot of the store; its ARN ends in the snapshot's name. CreateBackup takes a snapshot of
that table alone. One of several tables, taken with store.snapshot(), is a backup of each, and goes as a whole: with
store.drop_snapshot().
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from engines.clock import MICROSECONDS
from engines.errors import AlreadyExists, Invalid, NotFound
from engines.kv.backup.restore import microseconds
from engines.kv.backup.snapshots import Kept
from engines.kv.requests.descriptions import (
    billing,
    key_schema,
    projection,
    table_arn,
    table_description,
    table_id,
    throughput,
)
from engines.kv.requests.fields import (
    Answer,
    Fields,
    Given,
    ask,
    beneath,
    checked,
    definition_of,
    name_of,
    seconds,
    told_as,
)
from engines.kv.requests.tables import capacity_of, check_limit, check_name
from engines.kv.retention import PITR_SECONDS

if TYPE_CHECKING:
    from engines.kv.access.guard import Session
    from engines.kv.catalog import Definition
    from engines.kv.store import Store

DAYS = PITR_SECONDS // 86400
MOST_BACKUPS = 100
LIST = (
    "TableName:text Limit:count TimeRangeLowerBound:time TimeRangeUpperBound:time ExclusiveStartBackupArn:text "
    "BackupType:USER|SYSTEM|AWS_BACKUP|ALL"
)
_OVERRIDES = "BillingModeOverride:PROVISIONED|PAY_PER_REQUEST ProvisionedThroughputOverride:map"
RESTORE_BACKUP = f"TargetTableName:text! BackupArn:text! {_OVERRIDES}"
RESTORE_MOMENT = (
    "SourceTableName:text SourceTableArn:text TargetTableName:text! UseLatestRestorableTime:flag RestoreDateTime:time "
    f"{_OVERRIDES}"
)


class Backup(NamedTuple):
    """One table in a snapshot."""

    snapshot: str
    kept: Kept
    time: int
    alone: bool

    @property
    def arn(self) -> str:
        return f"{table_arn(self.kept.name)}/backup/{self.snapshot}"


# -- backups ----------------------------------------------------------------------------------------------------------


def _backups(store: "Store") -> Iterator[Backup]:
    place = store.kept_snapshots.place
    for ref in place.refs.names("snapshot/"):
        digest = place.refs.get(ref) or ""
        tables, time = place.tables(digest), place.manifest(digest, "snapshot").time
        for kept in tables:
            yield Backup(ref.removeprefix("snapshot/"), kept, time, len(tables) == 1)


def _backup(store: "Store | Session", arn: str) -> Backup:
    found = next((backup for backup in _backups(beneath(store)) if backup.arn == arn), None)
    if found is None:
        error = NotFound(f"there is no backup {arn!r:.200}: ListBackups says which ones there are")
        error.aws = "BackupNotFoundException"
        raise error
    return found


def _details(backup: Backup, status: str = "AVAILABLE") -> Answer:
    return {
        "BackupArn": backup.arn,
        "BackupName": backup.snapshot,
        "BackupSizeBytes": backup.kept.bytes,
        "BackupStatus": status,
        "BackupType": "USER",
        "BackupCreationDateTime": seconds(backup.time),
    }


def _description(store: "Store | Session", backup: Backup, status: str = "AVAILABLE") -> Answer:
    definition = beneath(store).kept_snapshots.place.head(backup.kept.digest).definition
    features: Answer = {}
    for index in definition.indexes:
        title = "LocalSecondaryIndexes" if index.local else "GlobalSecondaryIndexes"
        shown = {"IndexName": index.name, "KeySchema": key_schema(index.key), "Projection": projection(index)}
        features.setdefault(title, []).append(shown if index.local else {**shown, **_units(definition)})
    if definition.stream is not None:
        features["StreamDescription"] = {"StreamEnabled": True, "StreamViewType": definition.stream}
    if definition.ttl is not None:
        features["TimeToLiveDescription"] = {"TimeToLiveStatus": "ENABLED", "AttributeName": definition.ttl}
    source = {
        "TableName": definition.name,
        "TableId": table_id(definition),
        "TableArn": table_arn(definition.name),
        "TableSizeBytes": backup.kept.bytes,
        "ItemCount": backup.kept.items,
        "KeySchema": key_schema(definition.key),
        "TableCreationDateTime": seconds(definition.created),
        "BillingMode": billing(definition),
        **_units(definition),
    }
    described = {"BackupDetails": _details(backup, status), "SourceTableDetails": source}
    return {"BackupDescription": {**described, "SourceTableFeatureDetails": features}}


def _units(definition: "Definition") -> Answer:
    return {"ProvisionedThroughput": throughput(definition)}


def create_backup(store: "Store | Session", request: Given) -> Answer:
    """CreateBackup: a snapshot of one table; its name is taken once in a store."""
    given = checked("CreateBackup", request, "TableName:text! BackupName:text!")
    table, name = name_of(given["TableName"]), check_name("BackupName", given["BackupName"])
    with told_as("TableNotFoundException", NotFound), told_as("BackupInUseException", AlreadyExists):
        store.snapshot(name, tables=[table])
    return {"BackupDetails": _details(_backup(store, f"{table_arn(table)}/backup/{name}"))}


def describe_backup(store: "Store | Session", request: Given) -> Answer:
    """DescribeBackup: the backup, and the table as it was."""
    arn = checked("DescribeBackup", request, "BackupArn:text!")["BackupArn"]
    ask(store, "DescribeBackup")
    return _description(store, _backup(store, arn))


def delete_backup(store: "Store | Session", request: Given) -> Answer:
    """DeleteBackup: Invalid for a snapshot of several tables."""
    arn = checked("DeleteBackup", request, "BackupArn:text!")["BackupArn"]
    ask(store, "DeleteBackup")
    backup = _backup(store, arn)
    if not backup.alone:
        raise Invalid(f"the snapshot {backup.snapshot} holds several tables: store.drop_snapshot() drops all of it")
    described = _description(store, backup, "DELETED")
    store.drop_snapshot(backup.snapshot)
    return described


def list_backups(store: "Store | Session", request: Given) -> Answer:
    """ListBackups: by ARN, so by table, up to 100 at once."""
    given = checked("ListBackups", request, LIST)
    limit = check_limit(given, "ListBackups", MOST_BACKUPS)
    ask(store, "ListBackups")
    wanted = name_of(given["TableName"]) if "TableName" in given else None
    low, high = given.get("TimeRangeLowerBound"), given.get("TimeRangeUpperBound")
    found = {
        backup.arn: backup
        for backup in _backups(beneath(store))
        if wanted in (None, backup.kept.name)
        and (low is None or backup.time >= microseconds(low, "TimeRangeLowerBound"))
        and (high is None or backup.time < microseconds(high, "TimeRangeUpperBound"))
        and given.get("BackupType", "ALL") in ("ALL", "USER")
    }
    arns = sorted(arn for arn in found if arn > given.get("ExclusiveStartBackupArn", ""))
    answer: Answer = {"BackupSummaries": [_summary(store, found[arn]) for arn in arns[:limit]]}
    if len(arns) > limit:
        answer["LastEvaluatedBackupArn"] = arns[limit - 1]
    return answer


def _summary(store: "Store | Session", backup: Backup) -> Answer:
    definition = beneath(store).kept_snapshots.place.head(backup.kept.digest).definition
    name = definition.name
    return {"TableName": name, "TableId": table_id(definition), "TableArn": table_arn(name), **_details(backup)}


# -- point-in-time recovery -------------------------------------------------------------------------------------------


def update_continuous_backups(store: "Store | Session", request: Given) -> Answer:
    """UpdateContinuousBackups: switch point-in-time recovery on, from now on, or off."""
    what = "PointInTimeRecoverySpecification"
    given = checked("UpdateContinuousBackups", request, f"TableName:text! {what}:map!")
    fields = checked(what, given[what], "PointInTimeRecoveryEnabled:flag! RecoveryPeriodInDays:count")
    if fields.get("RecoveryPeriodInDays", DAYS) != DAYS:
        raise Invalid(f"RecoveryPeriodInDays is {DAYS} here, got {fields['RecoveryPeriodInDays']}: leave it out")
    name = name_of(given["TableName"])
    with told_as("TableNotFoundException", NotFound):
        store.set_pitr(name, enabled=fields["PointInTimeRecoveryEnabled"])
    return _continuous(beneath(store), name)


def describe_continuous_backups(store: "Store | Session", request: Given) -> Answer:
    """DescribeContinuousBackups: whether it is on, and which moments are covered."""
    name = name_of(checked("DescribeContinuousBackups", request, "TableName:text!")["TableName"])
    with told_as("TableNotFoundException", NotFound):
        ask(store, "DescribeContinuousBackups", f"table/{definition_of(store, name).name}")
    return _continuous(beneath(store), name)


def _continuous(store: "Store", name: str) -> Answer:
    definition = store.table(name).definition
    recovery: Answer = {"PointInTimeRecoveryStatus": "DISABLED"}
    if definition.pitr:
        now = store.clock.now()
        first = min([start.time for start in store.bases.starts(definition)], default=now)
        recovery = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": DAYS,
            "EarliestRestorableDateTime": seconds(max(first, now - PITR_SECONDS * MICROSECONDS)),
            "LatestRestorableDateTime": seconds(now),
        }
    described = {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}
    return {"ContinuousBackupsDescription": described}


# -- into a new table -------------------------------------------------------------------------------------------------


def restore_table_from_backup(store: "Store | Session", request: Given) -> Answer:
    """RestoreTableFromBackup: a new table with what a backup holds."""
    given = checked("RestoreTableFromBackup", request, RESTORE_BACKUP)
    target, backup = check_name("TargetTableName", given["TargetTableName"]), _backup(store, given["BackupArn"])
    source, change = backup.kept.name, _override(given)
    with told_as("TableAlreadyExistsException", AlreadyExists):
        store.restore_table(source, to=target, snapshot=backup.snapshot)
    restored = {"SourceBackupArn": backup.arn, "SourceTableArn": table_arn(source)}
    return _restored(store, target, change, {**restored, "RestoreDateTime": seconds(backup.time)})


def restore_table_to_point_in_time(store: "Store | Session", request: Given) -> Answer:
    """RestoreTableToPointInTime: a new table with what another held at a moment."""
    given = checked("RestoreTableToPointInTime", request, RESTORE_MOMENT)
    if ("SourceTableName" in given) == ("SourceTableArn" in given):
        raise Invalid("RestoreTableToPointInTime needs SourceTableName or SourceTableArn, one of them")
    if ("RestoreDateTime" in given) == given.get("UseLatestRestorableTime", False):
        raise Invalid("RestoreTableToPointInTime needs RestoreDateTime, or UseLatestRestorableTime true, one of them")
    source = name_of(given.get("SourceTableName") or given["SourceTableArn"])
    target, change = check_name("TargetTableName", given["TargetTableName"]), _override(given)
    now = beneath(store).clock.now()
    at = microseconds(given["RestoreDateTime"], "RestoreDateTime") if "RestoreDateTime" in given else now
    try:
        with told_as("TableAlreadyExistsException", AlreadyExists):
            store.restore_table(source, to=target, at=Decimal(at) / MICROSECONDS)
    except NotFound as error:
        error.aws = _why_not(beneath(store), source)
        raise
    restored = {"SourceTableArn": table_arn(source), "RestoreDateTime": seconds(at)}
    return _restored(store, target, change, restored)


def _why_not(store: "Store", source: str) -> str:
    table = store.schema.by_name.get(source)
    if table is None:
        return "TableNotFoundException"
    return "InvalidRestoreTimeException" if table.definition.pitr else "PointInTimeRecoveryUnavailableException"


def _override(given: Fields) -> "tuple[float | None, float | None] | None":
    """The units that the new table gets instead of the old one's; None where nothing is said."""
    said = {name: given[f"{name}Override"] for name in ("BillingMode", "ProvisionedThroughput")
            if f"{name}Override" in given}  # fmt: skip
    if not said:
        return None
    return capacity_of(said, provisioned=said.get("BillingMode") != "PAY_PER_REQUEST", what="Override") or (None, None)


def _restored(
    store: "Store | Session", name: str, change: "tuple[float | None, float | None] | None", summary: Answer
) -> Answer:
    under = beneath(store)
    if change is not None:
        under.table(name).capacity(*change)
    described = table_description(under, under.table(name))
    return {"TableDescription": {**described, "RestoreSummary": {**summary, "RestoreInProgress": False}}}
