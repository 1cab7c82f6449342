"""The rows of the dashboard, one module each, from what is wrong now down to the exporter itself."""
