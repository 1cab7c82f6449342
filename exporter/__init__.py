"""Prometheus exporter for bulk-import jobs of Zilliz Cloud and Milvus."""

__version__ = "0.1.0"
