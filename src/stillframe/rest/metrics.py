"""The kernel's figures in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stillframe.engine.supervisor import Supervisor


def exposition(supervisor: Supervisor) -> tuple[bytes, str]:
    """(text, media type). The library is imported when it is first asked for: it takes 60 ms."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.registry import Collector

    class Figures(Collector):
        def collect(self) -> list[Metric]:
            health = supervisor.health()
            executions = CounterMetricFamily(
                "stillframe_executions", "Executions that have ended, by how.", labels=["outcome"]
            )
            for outcome, count in supervisor.counts.items():
                executions.add_metric([outcome], count)
            gauges: list[Metric] = [
                GaugeMetricFamily(f"stillframe_{name}", text, value=health[key])
                for name, key, text in (
                    ("states", "states", "Named states."),
                    ("processes", "processes", "State processes."),
                    ("running_executions", "executions", "Executions in progress."),
                    ("available_memory_bytes", "available_memory_bytes", "Memory that can still be had."),
                    ("uptime_seconds", "uptime_s", "Time since the kernel started."),
                )
            ]
            return [executions, *gauges]

    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry), CONTENT_TYPE_LATEST
