"""``ml-platform prove`` and ``suggest``: their options."""

from typing import Annotated

import typer

from ml_platform.cli.output import BadUsage, Json

PARTITIONS = "At most this many, the newest; default: 12, or twice what the split holds back."


def prove(
    model: Annotated[str, typer.Option("--model", help="The model whose gates, and those below it, are proved.")] = "",
    rollout: Annotated[
        str,
        typer.Option(
            "--rollout",
            help="Instead: break live candidates of this model under load; which rule sends each back, and when.",
        ),
    ] = "",
    alarms: Annotated[
        bool,
        typer.Option(
            "--alarms",
            help="Only alarms on clean data, with a model after each partition of the later half; "
            "1 where --allowed is exceeded.",
        ),
    ] = False,
    allowed: Annotated[
        int, typer.Option("--allowed", min=0, help="Blocking alarms that the later half may raise.")
    ] = 1,
    power: Annotated[
        bool, typer.Option("--power", help="The smallest error of each kind that is noticed; goes on where it stopped.")
    ] = False,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0, help="Time for --power, of all runs that go on with each other.")
    ] = 15,
    partitions: Annotated[int | None, typer.Option("--partitions", min=3, help=PARTITIONS)] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", min=0, help="At most this many boosting rounds, 0: as declared; default: 100, 0 with --alarms."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Break data, features, training and service in a scratch folder: which gate catches what, and what none does.

    The project's own store, ledger and registry are neither read nor written; rows come from the source. Ends with 1
    where nothing catches a break. With --power the measurements and a page are kept in .local/power/.
    """
    if bool(model) == bool(rollout):
        raise BadUsage("give --model for the gates, or --rollout for the rules that send a live candidate back")
    if rollout:
        from ml_platform.cli.prove_rollout import prove_rollout

        raise typer.Exit(prove_rollout(rollout, json))
    # Alarms are those of the declared models; a break needs no more than a model that passes its gates.
    limited = (0 if alarms else 100) if rounds is None else rounds
    if power and alarms:
        raise BadUsage("give --power or --alarms; --power shows the alarms on clean batches as well")
    if power:
        from ml_platform.cli.power import measure_power

        raise typer.Exit(measure_power(model, minutes, partitions or 0, limited, json))
    from ml_platform.cli.prove import prove_model

    raise typer.Exit(prove_model(model, alarms, allowed, partitions or 0, limited, json))


def suggest(
    model: Annotated[
        str, typer.Argument(help="The model for whose gates, and those below it, thresholds are proposed.")
    ],
    until: Annotated[
        str,
        typer.Option("--until", help="Only what had ended by this date (YYYY-MM-DD) proposes; default: all."),
    ] = "",
    partitions: Annotated[int | None, typer.Option("--partitions", min=3, help=PARTITIONS)] = None,
    json: Json = None,
) -> None:
    """Propose thresholds from what clean data gave before a date, as lines for defs.yaml, with their alarms after it.

    Runs as `prove --alarms`: a model for each partition of the later half, in a scratch folder. `--json -` prints it.
    """
    from ml_platform.cli.suggest import suggest_thresholds

    suggest_thresholds(model, until, partitions or 0, json)
