"""A route as Envoy's resources: listener, routes, clusters. Plain values, no file and no process."""

from pathlib import Path
from typing import Any

from ml_platform.foundation.variables import ROUTER
from ml_platform.rollout.record import CHOOSE
from ml_platform.rollout.routers.router import Route, Side
from ml_platform.serving.process import KEEP_ALIVE, LOOPBACK, REQUEST_TIMEOUT

_TYPE = "type.googleapis.com/envoy."
#: Seconds within which the whole request must have arrived; it takes no process's time before.
ARRIVES = 15
#: Seconds between two looks at a process, and until one is given up.
HEALTH = (1, 2)
#: Seconds that an unused connection to a process is kept: shorter than the process keeps it.
IDLE = min(3, KEEP_ALIVE - 1)
#: Envoy's default of 3 retries at one time would be used up by one process that ends under load.
LIMITS = {"max_retries": 1000, "max_requests": 4096, "max_pending_requests": 4096, "max_connections": 4096}
#: Headers that tell a service about the request.
ROUTE, ROLE, REQUEST = "x-ml-route", "x-ml-role", "x-ml-request-id"


def typed(kind: str, /, **fields: Any) -> dict[str, Any]:
    """A message with its type."""
    return {"@type": _TYPE + kind, **fields}


def routes_file(route: Route) -> str:
    """Name of the file with the routes of a model; in no further folder, which could be moved while it is watched."""
    return f"routes.{route.model}.json"


def cluster(route: Route, side: Side) -> str:
    """Name of the cluster of a side."""
    return f"{route.model}_{side.name}"


def listener(route: Route, host: str, body_limit: int, folder: Path) -> dict[str, Any]:
    """The address of a model, whose routes lie in ``folder``."""
    manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=route.model,
        rds={
            "route_config_name": route.model,
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": str(folder / routes_file(route))},
            },
        },
        request_timeout=f"{ARRIVES}s",
        request_headers_timeout=f"{ARRIVES}s",
        generate_request_id=True,
        server_header_transformation="PASS_THROUGH",
        local_reply_config={"body_format": {"json_format": {"error": "%LOCAL_REPLY_BODY%"}}},
        http_filters=[
            {
                # A request is handed on when it is complete; a service says 413 itself, up to twice its limit.
                "name": "buffer",
                "typed_config": typed("extensions.filters.http.buffer.v3.Buffer", max_request_bytes=2 * body_limit),
            },
            {"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router")},
        ],
    )
    return typed(
        "config.listener.v3.Listener",
        name=route.model,
        address={"socket_address": {"address": host, "port_value": route.port}},
        # With it a second Envoy, as that of a copied folder, would take half of the connections, and nobody notice.
        enable_reuse_port=False,
        per_connection_buffer_limit_bytes=2 * body_limit,
        filter_chains=[{"filters": [{"name": "http", "typed_config": manager}]}],
    )


def route_configuration(route: Route, secret: str) -> dict[str, Any]:
    """Who answers at the address; with ``secret`` the services know that the headers are the router's."""
    return typed(
        "config.route.v3.RouteConfiguration",
        name=route.model,
        virtual_hosts=[{"name": route.model, "domains": ["*"], "routes": [*_chosen(route), _shared(route)]}],
        request_headers_to_add=[_header(ROUTER, secret)],
        validate_clusters=False,
    )


def _chosen(route: Route) -> list[dict[str, Any]]:
    """A route for each version that a request may choose by :data:`~ml_platform.rollout.record.CHOOSE`."""
    return [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": CHOOSE, "string_match": {"exact": str(side.version)}}],
            },
            "route": {**_action(), "cluster": cluster(route, side)},
            "request_headers_to_add": [*_headers(route), _header(ROLE, _role(route, side))],
        }
        for side in route.sides
        if side.ports and len(route.sides) > 1
    ]


def _shared(route: Route) -> dict[str, Any]:
    shares = [(side, share) for side, share in _shares(route) if share]
    match: dict[str, Any] = {"match": {"prefix": "/"}}
    if not shares:
        body = {"inline_string": f"{route.model}: no version answers yet"}
        return {**match, "direct_response": {"status": 503, "body": body}}
    action = {
        **_action(),
        "weighted_clusters": {
            "clusters": [
                {
                    "name": _aggregate(route, side)
                    if _behind(route, side)
                    else _alone(route, side)
                    if len(shares) > 1
                    else cluster(route, side),
                    "weight": share,
                    "request_headers_to_add": [_header(ROLE, _role(route, side))],
                }
                for side, share in shares
            ]
        },
    }
    if route.shadow and route.candidate is not None and route.candidate.ports:
        action["request_mirror_policies"] = [
            {
                "cluster": mirror(route, route.candidate),
                # Of a hundred, where nothing else is said.
                "runtime_fraction": {"default_value": {"numerator": route.shadow}},
                "request_headers_mutations": [{"append": _header(ROLE, "shadow")}],
            }
        ]
    return {**match, "route": action, "request_headers_to_add": _headers(route)}


def _shares(route: Route) -> list[tuple[Side, int]]:
    stable, candidate = route.stable, route.candidate
    if candidate is None or not candidate.ports or not route.weight:
        return [(stable, 100)] if stable is not None and stable.ports else []
    if stable is None or not stable.ports:
        return [(candidate, 100)]
    return [(stable, 100 - route.weight), (candidate, route.weight)]


def _behind(route: Route, side: Side) -> Side | None:
    """Who answers what a side cannot; None where nobody does."""
    other = route.stable if side is route.candidate else route.behind if route.candidate is None else None
    return other if other is not None and other.ports else None


def _role(route: Route, side: Side) -> str:
    return "candidate" if side is route.candidate else "stable"


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _headers(route: Route) -> list[dict[str, Any]]:
    # Of our own: clients repeat their ids. A copy of a request has the same.
    return [_header(ROUTE, route.model), _header(REQUEST, "%START_TIME(%s%9f)%-%CONNECTION_ID%")]


def _action() -> dict[str, Any]:
    return {
        "timeout": f"{REQUEST_TIMEOUT + 1}s",
        "retry_policy": {
            # A prediction that is made twice harms nobody.
            "retry_on": "connect-failure,refused-stream,reset,5xx",
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
                }
            ],
            "host_selection_retry_max_attempts": 3,
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": typed(
                    "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=1
                ),
            },
        },
    }


def clusters(route: Route) -> list[dict[str, Any]]:
    """The processes of each side; the candidate's with the stable ones behind it; and once more for copies."""
    # The same for both sides: a candidate that becomes the stable version is the same cluster still.
    found = [_static(cluster(route, side), side) for side in route.sides if side.ports]
    candidate, stable = route.candidate, route.stable
    if stable is not None and stable.ports and (behind := _behind(route, stable)):
        # Named as while it was the candidate: nothing changes where it is promoted.
        found += [
            _static(cluster(route, behind), behind),
            _falling_back(_aggregate(route, stable), [cluster(route, stable), cluster(route, behind)]),
            # Named before it is needed, too: what takes over does so in one moment.
            _falling_back(_aggregate(route, behind), [cluster(route, behind), cluster(route, stable)]),
        ]
    if candidate is not None and candidate.ports and route.stable is not None and route.stable.ports:
        # Named while the candidate waits, too: a route is only switched to clusters that are there.
        found += [
            _falling_back(_aggregate(route, candidate), [cluster(route, candidate), cluster(route, route.stable)]),
            # Of another name: requests that still go by the route before keep what was behind the stable version there.
            _falling_back(_alone(route, route.stable), [cluster(route, route.stable)]),
            # Of its own, or its counts would mix with those of real answers.
            _static(mirror(route, candidate), candidate),
        ]
    return found


def _aggregate(route: Route, side: Side) -> str:
    return f"{cluster(route, side)}_or_stable"


def _alone(route: Route, side: Side) -> str:
    return f"{cluster(route, side)}_alone"


def counted(route: Route, side: Side) -> list[str]:
    """The clusters whose answers are those of a side; what fell back to the stable version is counted as asked."""
    return [cluster(route, side), _aggregate(route, side), _alone(route, side), mirror(route, side)]


def mirror(route: Route, side: Side) -> str:
    """Name of the cluster that gets copies."""
    return f"{cluster(route, side)}_copies"


def _static(name: str, side: Side) -> dict[str, Any]:
    interval, timeout = HEALTH
    return {
        **_cluster(name),
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": port}}}}
                        # One that starts again takes connections before it answers them.
                        for port in side.reached
                    ]
                }
            ],
        },
        "health_checks": [
            {
                "timeout": f"{timeout}s",
                "interval": f"{interval}s",
                "no_traffic_interval": f"{interval}s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/readyz"},
            }
        ],
        # Where none is healthy none is asked: a candidate's requests go to the stable version, those to the stable one
        # fail at once instead of late.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={"idle_timeout": f"{IDLE}s"},
                explicit_http_config={"http_protocol_options": {}},
            )
        },
    }


def _falling_back(name: str, names: list[str]) -> dict[str, Any]:
    return {
        **_cluster(name),
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": typed("extensions.clusters.aggregate.v3.ClusterConfig", clusters=names),
        },
    }


def _cluster(name: str) -> dict[str, Any]:
    return typed(
        "config.cluster.v3.Cluster",
        name=name,
        connect_timeout="0.5s",
        circuit_breakers={"thresholds": [LIMITS]},
    )
