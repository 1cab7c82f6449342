"""What snapshots of clusters look like in Prometheus, as the bytes of an answer."""
