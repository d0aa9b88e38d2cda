"""A catalogue of tables that have columns and nothing else, for tests of the front."""

from engines.sql.front import View, bind_type
from engines.sql.source import Field

TPCH = {
    "region": "r_regionkey integer; r_name char(25); r_comment varchar(152)",
    "nation": "n_nationkey integer; n_name char(25); n_regionkey integer; n_comment varchar(152)",
    "supplier": "s_suppkey bigint; s_name char(25); s_address varchar(40); s_nationkey integer; s_phone char(15);"
    "s_acctbal decimal(15,2); s_comment varchar(101)",
    "customer": "c_custkey bigint; c_name varchar(25); c_address varchar(40); c_nationkey integer; c_phone char(15);"
    "c_acctbal decimal(15,2); c_mktsegment char(10); c_comment varchar(117)",
    "part": "p_partkey bigint; p_name varchar(55); p_mfgr char(25); p_brand char(10); p_type varchar(25);"
    "p_size integer; p_container char(10); p_retailprice decimal(15,2); p_comment varchar(23)",
    "partsupp": "ps_partkey bigint; ps_suppkey bigint; ps_availqty integer; ps_supplycost decimal(15,2);"
    "ps_comment varchar(199)",
    "orders": "o_orderkey bigint; o_custkey bigint; o_orderstatus char(1); o_totalprice decimal(15,2);"
    "o_orderdate date; o_orderpriority char(15); o_clerk char(15); o_shippriority integer; o_comment varchar(79)",
    "lineitem": "l_orderkey bigint; l_partkey bigint; l_suppkey bigint; l_linenumber integer;"
    "l_quantity decimal(15,2); l_extendedprice decimal(15,2); l_discount decimal(15,2); l_tax decimal(15,2);"
    "l_returnflag char(1); l_linestatus char(1); l_shipdate date; l_commitdate date; l_receiptdate date;"
    "l_shipinstruct char(25); l_shipmode char(10); l_comment varchar(44)",
}
SMALL = {
    "t": "a integer; b integer; c decimal(10,2); d date; s varchar(20); f double precision; ts timestamp; e char(3);"
    "g bigint; h smallint; ok boolean",
    "u": "a integer; b bigint; x varchar(5); y decimal(8,4)",
}


class Table:
    """Columns under a name."""

    def __init__(self, name: str, columns: str) -> None:
        self.name = name
        pairs = (column.strip().split(None, 1) for column in columns.split(";"))
        self._schema = tuple(Field(column, bind_type(kind)) for column, kind in pairs)

    def schema(self):
        return self._schema


class Catalog:
    """Tables by their last name."""

    def __init__(self, tables=None, **views: str) -> None:
        chosen = TPCH | SMALL if tables is None else tables
        self.found = {name: Table(name, columns) for name, columns in chosen.items()}
        self.found |= {name: View(text) for name, text in views.items()}

    def find(self, parts):
        return self.found.get(parts[-1].lower())

    def names(self):
        return list(self.found)
