"""Prometheus exporter for bulk-import jobs of Zilliz Cloud and Milvus."""

__version__ = "0.1.0"
__revision__ = ""
"""The commit that it was built from, where the build says so."""
