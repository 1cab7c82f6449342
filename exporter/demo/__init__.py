"""A simulated import API of Zilliz Cloud and Milvus, for `--demo` and for tests."""

from exporter.demo.clock import ScenarioClock
from exporter.demo.jobs import Series
from exporter.demo.scenario import FileScript, JobScript, Pause, Stages
from exporter.demo.server import CLUSTER, KEY, MILVUS, SimulatedApi

__all__ = [
    "CLUSTER",
    "KEY",
    "MILVUS",
    "FileScript",
    "JobScript",
    "Pause",
    "ScenarioClock",
    "Series",
    "SimulatedApi",
    "Stages",
]
