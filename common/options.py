"""Command lines from the table of options: parsers, and the settings that they come to."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, Final, get_type_hints

import msgspec

from common import option_types as parse
from common.arms import ARMS
from common.callers import CHAIN_GIVEN, secret_problem
from common.contratos import SERVICOS
from common.settings import Option, Settings

# The options of a run, by the field of Settings that each of them sets.
OPTIONS: Final[dict[str, Option]] = {
    name: option
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    for option in getattr(hint, "__metadata__", ())
    if isinstance(option, Option)
}
_DEFAULTS: Final[dict[str, Any]] = {
    field.name: field.default for field in msgspec.structs.fields(Settings)
}


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of a run, or those among them that set these fields of Settings.

    One that was not given is None in the namespace.
    """
    for name in names or OPTIONS:
        option = OPTIONS[name]
        value = _DEFAULTS[name]
        show = option.show or (f"{value:g}" if isinstance(value, float) else str(value))
        more: dict[str, Any] = {"action": "append"} if option.repeat else {}
        parser.add_argument(
            f"--{option.flag}", dest=name, type=option.parse, metavar=option.metavar,
            choices=option.choices, help=f"{option.help} (default {show})", **more,
        )  # fmt: skip


def chosen(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """The fields of Settings that a command line has set. Raises ValueError, in a sentence.

    An option that means nothing in this way of waiting is refused.
    """
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name, None) is not None}
    waiting = ARMS[mode].waiting
    strange = [name for name in given if OPTIONS[name].waiting not in {None, waiting}]
    if strange:
        names = " and ".join(f"--{OPTIONS[name].flag}" for name in strange)
        modes = " and ".join(each for each, arm in ARMS.items() if arm.waiting != waiting)
        lacks = "event loop" if waiting == "threads" else "workers"
        msg = f"{names}: of {modes} only; {mode} has no {lacks}"
        raise ValueError(msg)
    if "allow_host" in given:
        given["allow_host"] = tuple(given["allow_host"])
    return given


def told(settings: Settings) -> dict[str, Any]:
    """The options that run.json has; None for one that means nothing in this arm."""
    waiting = ARMS[settings.mode].waiting
    return {
        name: getattr(settings, name) if option.waiting in {None, waiting} else None
        for name, option in OPTIONS.items()
        if option.told
    }


def settings_as_json(settings: Settings) -> str:
    """Settings as one argument of a command line. The chain's token, a secret, is left out."""
    shown = msgspec.structs.replace(settings, chain_token=None)
    # By the standard library: a path need not be UTF-8.
    return json.dumps(msgspec.to_builtins(shown, enc_hook=str))


def _from_json(text: str) -> Settings:
    try:
        settings: Settings = msgspec.convert(
            json.loads(text), Settings, dec_hook=lambda kind, value: kind(value)
        )
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"expected settings as JSON: {error}"
        raise argparse.ArgumentTypeError(msg) from None
    return settings


def parse_service(mode: str, argv: list[str] | None = None) -> Settings:
    """The command line of one service process of an arm."""
    arm = ARMS[mode]
    parser = argparse.ArgumentParser(
        prog=f"python -m {arm.package}",
        description="Run one service of the checkout in this process, on loopback.",
        epilog="exit codes: 0 stopped as asked, 1 a defect or a second signal, 2 wrong options, "
        "3 its database or port cannot be used (one sentence says why)",
    )
    add = parser.add_argument
    add("servico", choices=SERVICOS, help="the service to run")
    add_options(parser)
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add(
        "--base-port", type=parse.port, default=arm.base_port, metavar="N",
        help=f"port of pedidos; the others follow in order (default {arm.base_port})",
    )  # fmt: skip
    add(
        "--port", type=parse.port, metavar="N",
        help="port of this service (default: from --base-port)",
    )  # fmt: skip
    add(
        "--address", action="append", default=[], metavar="SERVICE=HOST:PORT",
        help="where another service listens (default: from --base-port); may be repeated",
    )  # fmt: skip
    add(
        "--metrics-port", type=parse.port, metavar="N",
        help="gRPC: port that shows metrics to Prometheus (default none; REST has /metrics)",
    )  # fmt: skip
    add(
        "--exit-with-parent", action="store_true",
        help="stop when standard input ends, so that no service outlives its supervisor",
    )  # fmt: skip
    add(
        "--settings", type=_from_json, metavar="JSON",
        help="all of these at once, as run_all.py gives them; stands alone",
    )  # fmt: skip
    args = parser.parse_args(argv)
    token = os.environ.get(CHAIN_GIVEN)
    if token is not None and (problem := secret_problem(token)) is not None:
        parser.exit(2, f"{args.servico}: {problem}\n")
    handed: Settings | None = args.settings
    if handed is not None:
        if vars(args) != vars(parser.parse_args([args.servico])) | {"settings": handed}:
            parser.error("--settings holds all options: give no other")
        return msgspec.structs.replace(handed, servico=args.servico, mode=mode, chain_token=token)
    try:
        given = chosen(args, mode)
    except ValueError as error:
        parser.error(str(error))
    addresses = _addresses(parser, args)
    port = args.port if args.port is not None else int(addresses[args.servico].rpartition(":")[2])
    return Settings(
        servico=args.servico,
        mode=mode,
        host=args.host,
        port=port,
        addresses=addresses,
        chain_token=token,
        metrics_port=args.metrics_port,
        exit_with_parent=args.exit_with_parent,
        **given,
    )


def _addresses(parser: argparse.ArgumentParser, args: argparse.Namespace) -> dict[str, str]:
    """Where every service listens."""
    addresses = {
        nome: f"{args.host}:{args.base_port + indice}" for indice, nome in enumerate(SERVICOS)
    }
    for entry in args.address:
        nome, _, address = entry.partition("=")
        if nome not in SERVICOS or ":" not in address:
            parser.error(f"--address expects SERVICE=HOST:PORT, got {entry!r}")
        addresses[nome] = address
    return addresses


def default(name: str) -> Any:
    """The default of the option that sets this field."""
    return _DEFAULTS[name]
