"""Syntax tree -> logical plan: names and types are resolved here, and nowhere after.

binding      the Binder: ids, places, errors, dispatch by class of node
scopes       which names are in sight
typing       what an operation gives
datatypes    names of types           literals    constants, casts, parameters, intervals
columns      a, t.a, record.field     operators   arithmetic, comparison, logic, CASE, IN, LIKE
aggregates   groups and windows       calls       functions
relations    FROM and joins           queries     WITH, set operations, VALUES, LIMIT
selects      SELECT, step by step     subqueries  queries inside expressions
"""

from engines.sql.binder import aggregates, calls, columns, operators, relations, selects, subqueries  # noqa: F401 - they register what they bind
from engines.sql.binder.binding import Binder, Catalog, View
from engines.sql.binder.datatypes import bind_type
from engines.sql.binder.queries import bind_query
from engines.sql.binder.scopes import Column, Rows, Scope

__all__ = ["Binder", "Catalog", "Column", "Rows", "Scope", "View", "bind_query", "bind_type"]
