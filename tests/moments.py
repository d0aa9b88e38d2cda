"""When the tests of kv take place."""

START = 1_700_000_000  # seconds since 1970: in November 2023
DAY = 24 * 3600
