"""One scrape: which jobs to query, when, and what is known afterwards."""
