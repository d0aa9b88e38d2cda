"""PartiQL's words: what may not be a name without double quotes, functions, types, parts of a time."""

from typing import Final

AGGREGATES: Final = ("COUNT", "SUM", "MIN", "MAX", "AVG")
FUNCTIONS: Final = {  # name: fewest and most arguments
    "SIZE": (1, 1), "EXISTS": (1, 1), "COALESCE": (1, 99), "NULLIF": (2, 2), "CHAR_LENGTH": (1, 1),
    "CHARACTER_LENGTH": (1, 1), "LOWER": (1, 1), "UPPER": (1, 1), "SUBSTRING": (2, 3), "TXID": (0, 0), "UTCNOW": (0, 0),
    "TO_STRING": (2, 2), "TO_TIMESTAMP": (1, 2), "DATE_ADD": (2, 2), "DATE_DIFF": (2, 2), "EXTRACT": (1, 1),
    "TRIM": (1, 2), "CAST": (1, 1),
}  # fmt: skip
TYPES: Final = {
    "NULL": "NULL", "MISSING": "MISSING", "BOOL": "BOOL", "BOOLEAN": "BOOL", "INT": "INT", "INTEGER": "INT",
    "SMALLINT": "INT", "BIGINT": "INT", "FLOAT": "FLOAT", "REAL": "FLOAT", "DOUBLE": "FLOAT", "DECIMAL": "NUMBER",
    "NUMERIC": "NUMBER", "STRING": "STRING", "VARCHAR": "STRING", "CHAR": "STRING", "SYMBOL": "STRING",
    "STRUCT": "STRUCT", "TUPLE": "STRUCT", "LIST": "LIST", "BAG": "LIST", "TIMESTAMP": "TIMESTAMP",
}  # fmt: skip
DATE_PARTS: Final = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
RESERVED: Final = frozenset({
    "SELECT", "VALUE", "DISTINCT", "FROM", "WHERE", "AS", "AT", "BY", "JOIN", "INNER", "LEFT", "CROSS", "ON", "AND",
    "OR", "NOT", "IN", "BETWEEN", "LIKE", "ESCAPE", "IS", "NULL", "MISSING", "TRUE", "FALSE", "CASE", "WHEN", "THEN",
    "ELSE", "END", "INSERT", "INTO", "UPDATE", "DELETE", "SET", "REMOVE", "CREATE", "DROP", "UNDROP", "TABLE",
    "INDEX", "EXISTS", "CAST", "GROUP", "ORDER", "HAVING", "LIMIT", "UNION",
})  # fmt: skip
NOT_SPOKEN: Final = {"GROUP": "GROUP BY", "ORDER": "ORDER BY", "HAVING": "HAVING", "LIMIT": "LIMIT", "UNION": "UNION"}
CLAUSES: Final = ("FROM", "WHERE", "JOIN", "LEFT JOIN", "AND", "OR", "SET", "REMOVE", "VALUE", "LIKE", "BETWEEN")
BEGINNINGS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "FROM", "CREATE", "DROP", "UNDROP")
