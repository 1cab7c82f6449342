"""A simulated import API of Zilliz Cloud and Milvus, for `--demo`."""
