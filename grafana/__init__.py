"""The bundled Grafana dashboard and the code that generates it."""
