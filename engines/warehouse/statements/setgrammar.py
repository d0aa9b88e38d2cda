"""SET parameter TO value, RESET parameter: what a connection says to a service before it asks anything.

A parameter may be set to what holds here anyway, or where it changes no answer; nothing is kept. Any other is refused,
and the error says what does its work here.
"""

from typing import Final

from engines.errors import nearest
from engines.warehouse.statements.reader import Reader
from engines.warehouse.statements.records import Setting

HARMLESS: Final = frozenset(
    {"query_group", "application_name", "wlm_query_slot_count", "analyze_threshold_percent", "auto_analyze",
     "enable_result_cache_for_session", "mv_enable_aqmv_for_session", "spectrum_query_maxerror"}
)  # fmt: skip
HELD: Final[dict[str, tuple[frozenset[str], str]]] = {  # what holds here, and what does the work of another value
    "autocommit": (frozenset({"on", "true", "1"}), "write BEGIN ... COMMIT"),
    "client_encoding": (frozenset({"utf8", "utf-8", "unicode"}), "texts are UTF-8"),
    "datestyle": (frozenset({"iso", "iso, mdy", "iso, ymd"}), "write dates as 2020-12-31, or use to_date and to_char"),
    "enable_case_sensitive_identifier": (frozenset({"off", "false"}), "names have no capitals here"),
    "search_path": (frozenset({"public", "$user, public"}), "write schema.table: a bare name is one of public"),
    "statement_timeout": (frozenset({"0"}), "pass timeout= in seconds to sql()"),
    "timezone": (frozenset({"utc", "default"}), "times are UTC: write AT TIME ZONE"),
}


def read_set(reader: Reader) -> Setting:
    """SET [SESSION | LOCAL] name {TO | =} value, ..."""
    _ = reader.takes("SESSION") or reader.takes("LOCAL")
    start = reader.position
    name = _named(reader)
    if not reader.takes("TO"):
        reader.take("=")
    values = [_value(reader)]
    while reader.takes(","):
        values.append(_value(reader))
    _refuse(reader, name, ", ".join(values), start)
    return Setting(name)


def read_reset(reader: Reader) -> Setting:
    """RESET {name | ALL}."""
    if reader.takes("ALL"):
        return Setting("all")
    start = reader.position
    name = _named(reader)
    _refuse(reader, name, None, start)
    return Setting(name)


def _named(reader: Reader) -> str:
    if reader.takes("TIME", "ZONE"):
        raise reader.error("write SET timezone TO 'UTC'")
    return reader.identifier("the name of a parameter")


def _value(reader: Reader) -> str:
    token = reader.token
    if token is None:
        raise reader.expected("a value")
    reader.at += 1
    return token.text.lower()


def _refuse(reader: Reader, name: str, value: str | None, start: int) -> None:
    if name in HARMLESS:
        return
    if name not in HELD:
        known = [*HARMLESS, *HELD]
        raise reader.error(f"there is no parameter {name!r} to set here", start, nearest(name, known).lstrip("; "))
    kept, instead = HELD[name]
    if value is not None and value not in kept:
        raise reader.error(f"{name} is {' or '.join(sorted(kept))} here, and stays so; {instead}", start)
