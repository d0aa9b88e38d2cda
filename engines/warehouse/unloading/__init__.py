"""What UNLOAD writes: files that appear all at once, and rows as text, JSON or Parquet."""
