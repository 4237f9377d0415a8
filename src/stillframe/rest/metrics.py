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
            return [executions, *gauges, *_of_store(supervisor)]

    def _of_store(supervisor: Supervisor) -> list[Metric]:
        keeping = supervisor.keeping
        if keeping is None:
            return []
        figures = keeping.figures()
        counts = {**keeping.captures.counts, "evicted": keeping.evictions.count, "restored": keeping.restoring.count}
        events = CounterMetricFamily("stillframe_store_events", "What happened to states, by what.", labels=["event"])
        for event, count in counts.items():
            events.add_metric([event], count)
        return [
            events,
            GaugeMetricFamily("stillframe_states_stored", "Named states that are stored.", value=figures.stored),
            GaugeMetricFamily("stillframe_states_waiting", "States to be captured.", value=figures.waiting),
            GaugeMetricFamily("stillframe_store_in_trouble", "1: nothing is stored.", value=bool(figures.trouble)),
        ]

    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry), CONTENT_TYPE_LATEST
