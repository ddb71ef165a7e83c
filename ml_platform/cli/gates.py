"""``ml-platform gates``: every kind of gate that a declaration can name, with its keys."""

from inspect import formatannotation
from typing import Annotated, Any

import typer

from ml_platform.cli.output import Json, written
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Kind


def gates(
    kind: Annotated[str, typer.Argument(help="Only this kind, or module:function of one's own; default: all.")] = "",
    json: Json = None,
) -> None:
    """List the kinds of gates with their keys: those of the platform, and those of one's own that are declared."""
    from ml_platform.cli.screen import console, table
    from ml_platform.declarations.loading import project_catalogue
    from ml_platform.gates.every_kind import KINDS
    from ml_platform.gates.gate import kind_of
    from ml_platform.gates.stages import GATED

    found = dict(KINDS)
    try:
        found |= {gate.gate: kind_of(gate.gate) for spec in project_catalogue().all for gate in spec.gates}
    except PlatformError:
        # Kinds are looked up while declarations are still wrong, or before there are any.
        if not kind:
            typer.echo("ml-platform gates: kinds of one's own are left out: ml-platform validate says why", err=True)
    kinds: list[dict[str, Any]] = []
    shown = table("gate", "stage", "keys", "what is measured")
    for name, one in (
        {kind: kind_of(kind)}.items() if kind else sorted(found.items(), key=lambda item: GATED.index(item[1].stage))
    ):
        shown.add_row(name, one.stage, ", ".join(_keys(one)), "; ".join([one.description, *_described(one)]))
        kinds.append({"gate": name, "stage": one.stage, "keys": _keys(one), "what": one.description})
    console().print(shown)
    written(json, kinds)


def _keys(kind: Kind) -> list[str]:
    fields = kind.parameters.model_fields if kind.parameters else {}
    own = [
        f"parameters.{name}: {formatannotation(field.annotation)}"
        + ("" if field.is_required() else f" = {field.get_default(call_default_factory=True)!r}")
        for name, field in fields.items()
    ]
    return [*kind.keys, *own]


def _described(kind: Kind) -> list[str]:
    fields = kind.parameters.model_fields if kind.parameters else {}
    return [f"{name}: {field.description}" for name, field in fields.items() if field.description]
