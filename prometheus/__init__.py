"""What Prometheus and Alertmanager need beside the exporter: rules, their tests, example configurations."""
