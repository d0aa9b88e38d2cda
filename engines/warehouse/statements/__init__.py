"""The warehouse's own statements: everything but SELECT. Read into records here, carried out as `running.py` says."""
