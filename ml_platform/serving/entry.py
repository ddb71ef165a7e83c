"""The entry module of a sound package: the service as it is. It can be imported inside a packaged folder only."""

from ml_platform.serving.service import service

Service = service()
