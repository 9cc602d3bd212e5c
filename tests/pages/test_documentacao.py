"""The pages say what the code does: names, values, commands and diagrams are compared with it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from common import ROOT, contratos, diagrams
from common.contratos import OPERACOES
from common.erros import GRPC_CODE, STATUS_HTTP, Categoria
from common.servicos.protocolo.record import Hop, Inside, Wait, server_timing
from common.servicos.protocolo.transicoes import diagrama
from docs import commands
from proto import generate
from tests.audit.test_bad_builds import BUILDS
from tests.support.audit_proof import NUNCA_SOZINHAS, provas, regras
from tests.support.audit_support import preparar
from tests.support.cluster import open_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE: Final = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PROMISES: Final = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
REFERENCE: Final = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
FLAWS: Final = (ROOT / "docs" / "course-flaws.md").read_text(encoding="utf-8")
PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

# The commands that users type, and those that make something from the code.
TOOLS: Final[dict[str, Callable[[], object]]] = {
    "python -m common.diagrams": lambda: diagrams.main(["--help"]),
    "python -m proto.generate": generate.main,
    "python -m docs.commands": lambda: commands.main(["--help"]),
}
COMMANDS: Final = (*commands.COMMANDS, *commands.SERVICES, *TOOLS)
_FLAG: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def _options(command: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The options that a command says it has."""
    monkeypatch.setattr(sys, "argv", ["command", "--help"])
    # No option is broken over two lines.
    monkeypatch.setenv("COLUMNS", "10000")
    if command not in TOOLS:
        return set(_FLAG.findall(commands.parser_of(command).format_help()))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as left:
        TOOLS[command]()
    assert left.value.code == 0
    return set(_FLAG.findall(out.getvalue()))


def _rows(page: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in page.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def _fences(page: str, *languages: str) -> list[str]:
    return [text for language, text in _FENCE.findall(page) if language in languages]


def _prose(page: str) -> str:
    return _FENCE.sub("", page)


def _slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.strip().replace(" ", "-")


# --- diagrams -------------------------------------------------------------------------------------


def test_diagramas_sao_os_das_tabelas() -> None:
    """The state diagrams in ARCHITECTURE.md are those that the transition tables give."""
    assert diagrams.draw(ARCHITECTURE) == ARCHITECTURE, "run python -m common.diagrams"
    for tabela in diagrams.TABLES.values():
        assert diagrama(tabela) in ARCHITECTURE


def test_diagrama_alterado_e_notado(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check finds a page that tells another story, changes nothing, and drawing mends it."""
    page = tmp_path / "ARCHITECTURE.md"
    page.write_text(ARCHITECTURE.replace("stateDiagram-v2", "stateDiagram"))
    monkeypatch.setattr(diagrams, "PAGE", page)
    before = page.read_text()
    assert diagrams.main(["--check"]) == 1
    assert "run python -m common.diagrams" in capsys.readouterr().err
    assert page.read_text() == before
    assert diagrams.main([]) == 0
    assert diagrams.main(["--check"]) == 0


@pytest.mark.parametrize("damage", ["<!-- diagram: fiscal -->", "<!-- diagram: estoque -->"])
def test_bloco_que_falta_e_nomeado(damage: str) -> None:
    """A page without one of the blocks is refused, not left half drawn."""
    with pytest.raises(diagrams.PageError, match="expected one block for each"):
        diagrams.draw(ARCHITECTURE.replace(damage, "<!-- gone -->"))


def test_promessas_nomeiam_testes_que_existem() -> None:
    """Every test that the page of promises names is there."""
    written = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/*/test_*.py"))
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "promises.md").read_text("utf-8"))
    assert len(named) >= 10
    assert [name for name in named if f"def {name}(" not in written] == []


# --- the interface --------------------------------------------------------------------------------


@pytest.mark.parametrize("operacao", OPERACOES, ids=lambda operacao: operacao.nome)
def test_readme_nomeia_cada_operacao(operacao: contratos.Operacao) -> None:
    """Every operation stands in the README with its route and its gRPC method, in one row."""
    route = f"`{operacao.metodo_http} {operacao.caminho}`"
    row = next(row for row in _rows(README) if route in row)
    assert f"`{operacao.metodo_grpc}`" in row
    service = f"`ecommerce.v1.{operacao.servico.capitalize()}`"
    methods = next(row for row in _rows(README) if row[0] == service)
    assert f"`{operacao.metodo_grpc}`" in methods[1]


def test_readme_nao_nomeia_rotas_que_nao_existem() -> None:
    """No route in the README is served by nobody."""
    served = {f"{operacao.metodo_http} {operacao.caminho}" for operacao in OPERACOES}
    served |= {f"GET /{nome}" for nome in ("healthz", "readyz", "openapi.json")}
    named = set(re.findall(r"`((?:GET|POST) /[^`]*)`", README))
    assert named <= served


@pytest.mark.parametrize("categoria", Categoria, ids=lambda categoria: categoria.value)
def test_readme_diz_os_codigos_de_cada_erro(categoria: Categoria) -> None:
    """The table of errors gives each category's HTTP status and gRPC code."""
    row = next(row for row in _rows(README) if row[0] == f"`{categoria.value}`")
    assert row[2:] == [str(STATUS_HTTP[categoria]), f"`{GRPC_CODE[categoria]}`"]


def test_readme_diz_os_campos_dos_tempos() -> None:
    """The fields of the timing record are those that the record writes."""
    waits = Wait("b", 0, 1), Wait("g", 0, 1), Wait("p", 0, 1)
    hop = Hop("pedidos", 0, 1, waits, queue=1, commit=1)
    written = re.findall(r";(\w+)=", server_timing((hop,)))
    section = README.split("## Where the time goes")[1].split("\n## ")[0]
    plain, full, _ = section.split("\n### ")
    assert [row[0].strip("`") for row in _rows(plain)][1:] == written
    hop = replace(hop, inside=Inside(1, 1, 1, 1, 1, 1, 1))
    written = re.findall(r";(\w+)=", server_timing((hop,)))
    assert [row[0].strip("`") for row in _rows(full)][1:] == written


def test_pedidos_de_exemplo_sao_validos() -> None:
    """Every request body in the README is one that the services take, every answer one they give."""
    bodies = re.findall(r"-d '(\{.*?\})'", README)
    assert len(bodies) >= 3
    for body in bodies:
        msgspec.json.decode(body, type=contratos.CriarPedidoRequest)
    for answer in _fences(README, "json"):
        if "problema" not in answer:
            msgspec.json.decode(answer, type=contratos.PedidoResponse)


async def test_o_exemplo_em_python_funciona(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's Python example runs as it stands, but for the port."""
    (example,) = _fences(README, "python")
    options: dict[str, Any] = {"payment_latency": (0.0, 0.0)}
    async with open_cluster("grpc", tmp_path, shop, stock=10, **options) as cluster:
        example = example.replace("127.0.0.1:50050", cluster.addresses["pedidos"])
        await asyncio.to_thread(exec, compile(example, "README.md", "exec"), {})
    status, timing = capsys.readouterr().out.splitlines()
    assert status.split()[1] in {"enviado", "cancelado"}
    assert timing.startswith("pedidos;dur=")


# --- commands -------------------------------------------------------------------------------------


def _commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a page shows, with its flags."""
    shown = [line for text in _fences(page, "sh", "text") for line in text.splitlines()]
    shown += re.findall(r"`(python [^`]+)`", _prose(page))
    for line in shown:
        for command in COMMANDS:
            found = re.search(rf"{re.escape(command)}(?![\w.])([^#]*)", line)
            if found:
                yield command, _FLAG.findall(found[1])


@pytest.mark.parametrize("page", [README, ARCHITECTURE], ids=["readme", "architecture"])
def test_opcoes_mostradas_existem(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option shown with a command is one that the command has."""
    known = {command: _options(command, monkeypatch) for command in COMMANDS}
    for command, flags in _commands(page):
        assert set(flags) <= known[command], command
    everywhere = set().union(*known.values())
    loose = {
        flag for code in re.findall(r"`([^`]+)`", _prose(page)) for flag in _FLAG.findall(code)
    }
    assert loose <= everywhere


def test_each_command_is_explained_with_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README explains each command; the page of commands, made from the parsers, has its options."""
    assert commands.page() == REFERENCE, "run python -m docs.commands"
    sections = dict(
        zip(*[iter(re.split(r"^## `(.*)`$", REFERENCE, flags=re.MULTILINE)[1:])] * 2, strict=True)
    )
    for command in commands.COMMANDS:
        # The panel has a chapter of its own, with pictures.
        assert f"### `{command}" in README or command == "python -m panel"
        assert f"`{command}" in README
        assert _options(command, monkeypatch) - {"--help"} <= set(_FLAG.findall(sections[command]))
    (one,) = set(sections) - set(commands.COMMANDS)
    for command in commands.SERVICES:
        assert _options(command, monkeypatch) - {"--help"} <= set(_FLAG.findall(sections[one]))
        assert f"`{command}`" in REFERENCE


def test_a_page_of_commands_that_is_out_of_date_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check finds a page that says something else, changes nothing, and making it mends it."""
    page = tmp_path / "commands.md"
    page.write_text(REFERENCE.replace("--payment-latency", "--payment-delay"))
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    monkeypatch.setattr(commands, "PAGE", page)
    before = page.read_text()
    assert commands.main(["--check"]) == 1
    assert "run python -m docs.commands" in capsys.readouterr().err
    assert page.read_text() == before
    assert commands.main([]) == 0
    assert commands.main(["--check"]) == 0
    assert page.read_text() == REFERENCE


# --- names, values, links -------------------------------------------------------------------------


def _value(name: str) -> object:
    """A constant or a default by its name below `common`."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["common", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        rest = parts[cut:]
        if len(rest) == 1:
            return getattr(found, rest[0])
        owner = getattr(found, rest[0])
        return next(f.default for f in msgspec.structs.fields(owner) if f.name == rest[1])
    raise LookupError(name)


def _limits() -> Iterator[tuple[str, str]]:
    for page in (README, ARCHITECTURE):
        for row in _rows(page):
            name = re.match(r"`(\w+(?:\.\w+)*\.\w+)`", row[-1])
            if len(row) == 4 and name and re.fullmatch(r"[\d,.]+", row[1]):
                yield name[1], row[1]


@pytest.mark.parametrize(("name", "value"), list(_limits()))
def test_limites_tem_o_valor_do_codigo(name: str, value: str) -> None:
    """A limit in a table has the value that it has in the code."""
    assert float(value.replace(",", "")) == _value(name)


def test_ha_limites_para_conferir() -> None:
    """The tables of limits are found: a change of their form must not switch the check off."""
    assert len(list(_limits())) >= 20


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_ligacoes_relativas_levam_a_algum_lugar(path: Path) -> None:
    """Every relative link of a page names a file, and every anchor a heading."""
    page = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        destination = path if not file else path.parent / file
        assert destination.exists(), target
        if anchor:
            headings = re.findall(
                r"^#+ (.+)$", destination.read_text(encoding="utf-8"), re.MULTILINE
            )
            assert anchor in map(_slug, headings), target


def test_arquivos_do_layout_existem() -> None:
    """Every file and folder of the README's layout exists."""
    tree = README.split("## Layout")[1].split("```text\n")[1].split("```")[0]
    folders: dict[int, Path] = {0: ROOT}
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        path = folders[depth] / name
        assert path.exists(), name
        assert path.is_dir() == name.endswith("/"), name
        folders[depth + 1] = path


_FOLDERS: Final = (
    "common", "wire", "grpc_aio", "http_aio", "blocking", "loadgen", "panel", "proto", "tests", "docs",
    "assets",
)  # fmt: skip


def _files() -> list[Path]:
    """Every source file, and every folder that holds one."""
    found = [path for pattern in ("*.py", "*.proto", "*.toml") for path in ROOT.glob(pattern)]
    for folder in _FOLDERS:
        for pattern in ("*.py", "*.proto", "*.md"):
            found += (ROOT / folder).rglob(pattern)
    return [*found, *{parent for path in found for parent in path.relative_to(ROOT).parents}]


def test_nomes_citados_existem() -> None:
    """Files and identifiers that ARCHITECTURE and the decisions name exist in the code."""
    files = _files()
    texts = [path.read_text("utf-8") for path in files if path.is_file() and path != Path(__file__)]
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    known = {f"/{path}" for path in files} | {f"/{path.name}" for path in ROOT.iterdir()}
    pages = [ARCHITECTURE, *(path.read_text() for path in ROOT.glob("docs/decisions/*.md"))]
    names = {name for page in pages for name in re.findall(r"`([^`\n]+)`", _prose(page))}
    for name in names - {"dados/run.json"}:
        if re.fullmatch(r"(?:\w+/)+(?:[\w.]+)?|\w+\.(?:py|proto|toml|md)", name):
            # A path of its own, or the end of one.
            end = f"/{name.rstrip('/')}"
            assert any(path.endswith(end) for path in known), name
        elif re.fullmatch(r"[A-Za-z_][\w.]*", name):
            assert set(name.split(".")) <= words | set(sys.stdlib_module_names), name


def test_falhas_do_curso_nomeiam_testes_que_existem() -> None:
    """Each guard that docs/course-flaws.md names is a test of the suite."""
    named = set(re.findall(r"`(tests/\w+/\w+\.py)::(\w+)`", FLAWS))
    assert named
    assert "(service suite)" not in FLAWS
    for file, test in sorted(named):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"


def test_promessas_listam_cada_regra_e_o_que_a_prova(tmp_path: Path) -> None:
    """docs/promises.md has a row for each rule: its invariants, and all that turns it red."""
    preparar(tmp_path / "dados")
    known = {
        f"`{rule}`": [", ".join(map(str, invariants)), ", ".join(provas()[rule])]
        for rule, invariants in regras(tmp_path / "dados").items()
    }
    section = PROMISES.split("### How it proves itself")[1].split("\n## ")[0]
    rows = {row[0]: row[1:] for row in _rows(section) if len(row) == 3 and row[0] != "rule"}
    assert rows == known
    alone = ", ".join(f"`{rule}`" for rule in sorted(NUNCA_SOZINHAS, reverse=True))
    assert f"({alone})" in section


def test_promessas_listam_os_maus_e_quem_os_acusa() -> None:
    """docs/promises.md names each build that is known to be bad, and the rules that report it."""
    known = {build.name: {f"`{rule}`" for rule in build.rules} for build in BUILDS}
    rows = {row[0]: set(row[3].split(", ")) for row in _rows(PROMISES) if row[0] in known}
    assert rows == known
