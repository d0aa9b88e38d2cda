"""What COPY reads: options, files, rows of text, JSON and columns, and what to do with those that do not fit."""
