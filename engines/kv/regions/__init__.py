"""Global tables: stores that exchange their changes. replica.py is where to begin."""
