"""Dagster: the only place that knows it. Components, and the assets, checks, jobs and sensors they build."""
