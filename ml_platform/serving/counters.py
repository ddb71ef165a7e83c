"""What a service counts beside its requests, each number with the labels that it always has."""

from prometheus_client import Counter, Gauge, Histogram


class Metrics:
    """The counters of the service's process, with its model and version as labels."""

    def __init__(self, model: str, version: int, buckets: tuple[float, ...]) -> None:
        labels = {"model": model, "version": str(version)}
        self.rows = Counter("ml_service_rows_total", "Rows predicted.", list(labels)).labels(**labels)
        self.scores = Histogram(
            "ml_service_prediction",
            "Predictions; of several classes the probability of the one.",
            list(labels),
            buckets=buckets,
        ).labels(**labels)
        self.dropped = Counter(
            "ml_service_prediction_log_dropped_total", "Rows that were not logged.", list(labels)
        ).labels(**labels)
        self.stale = Counter(
            "ml_service_stale_rows_total", "Rows predicted with a history that is older than declared.", list(labels)
        ).labels(**labels)
        self.unseen = Counter(
            "ml_service_unseen_rows_total", "Rows predicted with a text that training has not seen.", list(labels)
        ).labels(**labels)
        self.age = Gauge(
            "ml_service_history_age_days",
            "Days from the last outcome that is known to the newest row asked last.",
            list(labels),
            multiprocess_mode="mostrecent",
        ).labels(**labels)
        self.refused = Counter("ml_service_refused_total", "Requests refused after the guard.", list(labels)).labels(
            **labels
        )
