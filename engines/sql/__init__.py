"""Floor 2: one SQL front end and one set of column operators, for every engine that speaks SQL."""
