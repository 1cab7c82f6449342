"""The simulated API as a server that tests can bend: faults, connections, requests on record, any number of jobs."""

from exporter.demo.scenario import FileScript, JobScript, Pause, Stages
from tests.support.simulated.clock import ScenarioClock
from tests.support.simulated.server import CLUSTER, KEY, MILVUS, SimulatedApi

__all__ = [
    "CLUSTER",
    "KEY",
    "MILVUS",
    "FileScript",
    "JobScript",
    "Pause",
    "ScenarioClock",
    "SimulatedApi",
    "Stages",
]
